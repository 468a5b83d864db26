"""When anchors are asked, what is kept of their answers, and what status says."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.admin.anchoring import LONGEST_PAUSE_US, Anchoring, Planned
from mcp_guard.audit.anchors import AnchorFailed, Confirmed, Kind, LogForked, Newest, acknowledgements
from mcp_guard.audit.query import Query
from mcp_guard.audit.verify import Evidence, Trust, verify, verify_signature
from mcp_guard.audit.witness import Witness
from tests.admin.conftest import records
from tests.audit.anchored import Signing, Witnessed, anchor
from tests.simulators.clock import FakeClock

MINUTE_US = 60 * 1_000_000


@dataclass
class Copy:
    """An anchor that takes everything, or fails as it is told to."""

    name: str = "archive"
    kind: Kind = "http"
    failure: AnchorFailed | None = None
    sizes: list[int] = field(default_factory=list)

    async def confirm(self, newest: Newest, known: int) -> Confirmed:
        if self.failure is not None:
            self.sizes.append(0)
            raise self.failure
        signed = await newest()
        self.sizes.append(signed.size)
        return Confirmed(signed.size, 1_790_000_000, signed.note)


@pytest.fixture
async def signing(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Signing]:
    opened = await Signing.open(tmp_path / "home", clock)
    await opened.grow(5)
    yield opened
    await opened.aclose()


@pytest.fixture
def witnessed(signing: Signing, tmp_path: Path, clock: FakeClock) -> Iterator[Witnessed]:
    witness = Witness.open(tmp_path / "witness", [signing.key], clock)
    yield Witnessed(witness)
    witness.close()


def anchoring(signing: Signing, *anchors: Any) -> Anchoring:
    planned = [Planned(each, MINUTE_US) for each in anchors]
    return Anchoring(planned, signing.store, signing.journal, signing.admin.newest)


async def status(signing: Signing) -> dict[str, Any]:
    return await Query(signing.store).status()


@pytest.mark.holds("anchors:acknowledged", "anchors:status")
async def test_an_acknowledgement_is_kept_and_on_record(
    signing: Signing, witnessed: Witnessed, clock: FakeClock
) -> None:
    assert (await status(signing))["anchored"] == "never"
    asked = anchor(signing, witnessed.witness.key, witnessed.post)
    (attempt,) = await anchoring(signing, asked).due()
    assert (attempt.state, attempt.size) == ("anchored", 6)
    last = (await records(signing.store))[-1]
    assert (last["kind"], last["state"]["what"], last["state"]["size"]) == ("anchor", "acknowledged", 6)
    (kept,) = await acknowledgements(signing.store)
    assert last["state"]["checkpoint"] == kept.note.decode()
    clock.advance(90)
    found = await status(signing)
    assert (found["anchored"], found["anchored_age_s"]) == (6, 90)
    assert found["anchors"] == [{"kind": "witness", "name": asked.name, "state": "anchored", "size": 6, "age_s": 90}]


@pytest.mark.holds("anchors:acknowledged")
async def test_verification_counts_it(signing: Signing, witnessed: Witnessed) -> None:
    await anchoring(signing, anchor(signing, witnessed.witness.key, witnessed.post)).due()
    trust = Trust(verify_signature, (signing.key,), (witnessed.witness.key,))
    lines = [line async for line in _lines(signing)]
    report = verify(lines, evidence=Evidence(trust=trust))
    assert (report.ok, report.anchored) == (True, 6)
    stored = verify(signing.store.path, evidence=Evidence(trust=trust))
    assert (stored.ok, stored.anchored) == (True, 6)


async def _lines(signing: Signing) -> AsyncIterator[bytes]:
    for _, line in await signing.store.reader.all("log_lines_from", {"first": 0, "limit": 1000}):
        assert isinstance(line, bytes)
        yield line


@pytest.mark.holds("anchors:copies")
async def test_a_copy_is_no_acknowledgement(signing: Signing) -> None:
    copy = Copy()
    (attempt,) = await anchoring(signing, copy).due()
    assert (attempt.state, copy.sizes) == ("sent", [6])
    found = await status(signing)
    assert found["anchored"] == "never"
    assert found["anchors"][0]["state"] == "sent"
    assert await acknowledgements(signing.store) == []
    assert (await records(signing.store))[-1]["kind"] == "config", (
        "nobody vouches for anything, so nothing is on record"
    )


@pytest.mark.holds("anchors:schedule")
async def test_it_is_asked_when_there_is_news_and_not_before_its_time(
    signing: Signing, witnessed: Witnessed, clock: FakeClock
) -> None:
    copy = Copy()
    both = anchoring(signing, anchor(signing, witnessed.witness.key, witnessed.post), copy)
    assert len(await both.due()) == 2
    for _ in range(3):
        clock.advance(61)
        assert await both.due() == [], "what an anchor confirmed is no news"
    await signing.grow()
    assert len(await both.due()) == 2
    await signing.grow()
    clock.advance(59)
    assert await both.due() == []
    clock.advance(1)
    assert len(await both.due()) == 2
    assert copy.sizes == [7, 9, 11]
    clock.advance(-3600)
    await signing.grow()
    assert len(await both.due()) == 2, "a clock that was set back blocks nothing"


@pytest.mark.holds("anchors:schedule")
async def test_records_that_are_no_longer_there_are_news_to_a_new_anchor(signing: Signing) -> None:
    with closing(sqlite3.connect(signing.store.path)) as database:
        database.execute("DELETE FROM log WHERE n < 3")  # as pruning leaves it
        database.commit()
    copy = Copy()
    assert len(await anchoring(signing, copy).due()) == 1
    assert copy.sizes == [6]


@pytest.mark.holds("anchors:schedule")
async def test_processes_share_the_attempts(signing: Signing) -> None:
    copies = [Copy(), Copy()]
    await asyncio.gather(*(anchoring(signing, copy).due() for copy in copies))
    assert sorted(copies[0].sizes + copies[1].sizes) == [6]


@pytest.mark.holds("anchors:schedule", "anchors:status")
async def test_one_that_fails_is_asked_ever_more_rarely_and_the_others_go_on(
    signing: Signing, clock: FakeClock
) -> None:
    broken, good = Copy("broken", failure=AnchorFailed("it answered 500")), Copy("good")
    both = anchoring(signing, broken, good)
    for _ in range(200):
        await signing.grow()
        await both.due()
        clock.advance(60)
    assert len(good.sizes) == 200
    assert len(broken.sizes) == 8
    assert Planned(broken, MINUTE_US).pause_us(1000) == LONGEST_PAUSE_US
    shown = {each["name"]: each for each in (await status(signing))["anchors"]}
    assert shown["broken"] == {
        "kind": "http",
        "name": "broken",
        "state": "failing",
        "size": 0,
        "error": "it answered 500",
    }
    broken.failure = None
    await both.now()
    await signing.grow()
    clock.advance(60)
    await both.due()
    assert len(broken.sizes) == 10
    assert (await status(signing))["anchors"][0]["state"] == "sent"


@pytest.mark.holds("anchors:fork")
async def test_a_fork_is_on_record_and_never_forgotten(signing: Signing, clock: FakeClock) -> None:
    forked = Copy("elsewhere", "witness", LogForked("elsewhere signed 9 records, and the log has only 6"))
    (attempt,) = await anchoring(signing, forked).due()
    assert attempt.state == "FORK"
    last = (await records(signing.store))[-1]
    assert (last["kind"], last["state"]) == (
        "fault",
        {"code": "log_forked", "where": "anchor", "anchor": "elsewhere", "count": 1},
    )
    forked.failure = None
    clock.advance(3600)
    await anchoring(signing, forked).due()
    (shown,) = (await status(signing))["anchors"]
    assert (shown["state"], "error" in shown) == ("FORK", False)


@pytest.mark.holds("anchors:schedule")
async def test_the_last_attempt_is_bounded(signing: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Copy):
        async def confirm(self, newest: Newest, known: int) -> Confirmed:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr("mcp_guard.admin.anchoring.LAST_SECONDS", 0.05)
    assert await anchoring(signing, Silent()).last() == []
    monkeypatch.setattr("mcp_guard.admin.anchoring.ATTEMPT_SECONDS", 0.05)
    (attempt,) = await anchoring(signing, Silent()).now()
    assert attempt.state == "failing"
