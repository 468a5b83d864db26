"""What lists showed and withheld: on record before the answer, and polling does not fill the disk."""

import asyncio
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from mcp_guard.audit.journal import Journal
from mcp_guard.audit.listings import MAX_RULES, MAX_WINDOWS, OTHERS, Listings, state
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.values import Stored
from tests.simulators.clock import FakeClock
from tests.store.helpers import lines

ALICE = Principal("user:alice", "agent:local", "acme", "bearer", "token")
SHOWN = state(["orders_get", "mail_send"], {"guard:default": 2, "no-mail": 1})


def recorded(path: Path) -> list[Any]:
    return [record["state"] for record in map(orjson.loads, lines(path)) if record["kind"] == "read"]


def test_the_state_is_a_digest_and_counts() -> None:
    digest = sha256(b"mail_send\norders_get\n").hexdigest()
    by = {"guard:default": 2, "no-mail": 1}
    assert {"what": "tools", "shown": digest, "count": 2, "withheld": 3, "by": by} == SHOWN
    assert state(["mail_send", "orders_get"], {})["shown"] == digest, "the order of a list is not part of it"
    assert state([], {})["count"] == 0


def test_a_state_is_bounded() -> None:
    many = state([], {f"rule-{n:04}": n + 1 for n in range(500)})
    by = many["by"]
    assert isinstance(by, dict)
    assert len(by) == MAX_RULES + 1
    assert sum(by.values()) == many["withheld"] == sum(range(501))
    assert by["rule-0499"] == 500
    assert OTHERS in by


@pytest.mark.holds("audit:lists-recorded")
async def test_the_first_list_is_durable_before_the_answer(journal: Journal, path: Path) -> None:
    await journal.listed(ALICE, SHOWN)
    assert recorded(path) == [SHOWN]
    [record] = [orjson.loads(line) for line in lines(path)]
    assert record["actor"]["sub"] == "user:alice"


@pytest.mark.holds("audit:lists-bounded")
async def test_polling_is_counted(journal: Journal, path: Path, clock: FakeClock) -> None:
    for _ in range(100):
        await journal.listed(ALICE, SHOWN)
    for name in range(50):
        await journal.listed(replace(ALICE, software=f"client {name}"), SHOWN)
    assert recorded(path) == [SHOWN], "what a client calls itself makes no difference"
    clock.advance(60)
    await journal.listed(ALICE, SHOWN)
    assert recorded(path) == [SHOWN, {**SHOWN, "repeats": 149}, SHOWN]
    await journal.aclose()
    assert len(recorded(path)) == 3, "a list that did not repeat has nothing to add"


@pytest.mark.holds("audit:lists-recorded")
async def test_whatever_differs_is_recorded(journal: Journal, path: Path) -> None:
    others = [
        replace(ALICE, subject="user:bob"),
        replace(ALICE, client="agent:other"),
        replace(ALICE, tenant="globex"),
        replace(ALICE, assurance="declared"),
        replace(ALICE, chain=("agent:hop",)),
    ]
    for who in (ALICE, *others):
        await journal.listed(who, SHOWN)
    for listed in (
        state(["orders_get"], {"guard:default": 2, "no-mail": 1}),
        state(["orders_get", "mail_send"], {"guard:default": 3}),
    ):
        await journal.listed(ALICE, listed)
    assert len(recorded(path)) == 8
    await journal.listed(ALICE, SHOWN)
    assert len(recorded(path)) == 8, "going back and forth between two lists is counted too"


@pytest.mark.holds("audit:lists-recorded")
async def test_repeats_left_at_the_end_are_recorded(journal: Journal, path: Path) -> None:
    for _ in range(3):
        await journal.listed(ALICE, SHOWN)
    await journal.aclose()
    assert recorded(path) == [SHOWN, {**SHOWN, "repeats": 2}]


class Gate:
    """A journal whose writing tests open, close and hold back."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.fails = False
        self.written: list[Any] = []

    async def write(self, _: Principal, listed: Any) -> Stored:
        await self.open.wait()
        if self.fails:
            raise StoreUnavailable
        self.written.append(listed)
        return Stored(len(self.written), "", 0)


@pytest.mark.holds("audit:lists-recorded")
async def test_a_repeat_waits_for_the_record_it_leans_on(clock: FakeClock) -> None:
    gate = Gate()
    listings = Listings(clock, gate.write)
    asking = [asyncio.create_task(listings.note(ALICE, SHOWN)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(task.done() for task in asking)
    gate.open.set()
    await asyncio.gather(*asking)
    assert gate.written == [SHOWN]
    await listings.aclose()
    assert gate.written[1:] == [{**SHOWN, "repeats": 2}]


@pytest.mark.holds("audit:lists-recorded")
async def test_what_was_not_recorded_is_not_leant_on(clock: FakeClock) -> None:
    gate = Gate()
    gate.fails = True
    gate.open.set()
    listings = Listings(clock, gate.write)
    for found in await asyncio.gather(*(listings.note(ALICE, SHOWN) for _ in range(3)), return_exceptions=True):
        assert isinstance(found, StoreUnavailable)
    gate.fails = False
    await listings.note(ALICE, SHOWN)
    assert gate.written == [SHOWN]
    await listings.aclose()


@pytest.mark.holds("audit:lists-recorded")
async def test_a_client_that_leaves_spoils_nothing(clock: FakeClock) -> None:
    gate = Gate()
    listings = Listings(clock, gate.write)
    leaving = asyncio.create_task(listings.note(ALICE, SHOWN))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    gate.open.set()
    await listings.note(ALICE, SHOWN)
    assert gate.written == [SHOWN]
    await listings.aclose()
    assert gate.written[1:] == [{**SHOWN, "repeats": 1}]


async def test_repeats_that_cannot_be_recorded_are_kept(clock: FakeClock) -> None:
    gate = Gate()
    gate.open.set()
    listings = Listings(clock, gate.write)
    for _ in range(4):
        await listings.note(ALICE, SHOWN)
    clock.advance(60)
    gate.fails = True
    await listings.flush()
    assert gate.written == [SHOWN]
    gate.fails = False
    clock.advance(60)
    await listings.flush()
    assert gate.written[1:] == [{**SHOWN, "repeats": 3}]


@pytest.mark.holds("audit:lists-bounded")
async def test_more_lists_than_can_be_counted_are_recorded_one_by_one(clock: FakeClock) -> None:
    gate = Gate()
    gate.open.set()
    listings = Listings(clock, gate.write)
    for number in range(MAX_WINDOWS):
        await listings.note(replace(ALICE, subject=f"user:u{number}"), SHOWN)
    for _ in range(2):
        await listings.note(ALICE, SHOWN)
    assert len(gate.written) == MAX_WINDOWS + 2
    await listings.aclose()


@pytest.mark.holds("audit:no-record-no-act")
async def test_while_writing_fails_even_a_repeat_is_refused(journal: Journal, store: Store, path: Path) -> None:
    await journal.listed(ALICE, SHOWN)
    path.rename(path.with_name("gone.db"))
    with pytest.raises(StoreUnavailable):
        await journal.read(ALICE, {"what": "status"})
    with pytest.raises(StoreUnavailable):
        await journal.listed(ALICE, SHOWN)
    path.with_name("gone.db").rename(path)
    await journal.listed(ALICE, SHOWN)
    assert recorded(path) == [SHOWN, SHOWN], "and goes on when the store is back"
