"""Legal holds: what is held stays, by whatever way somebody asks for it to go."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.admin.erase import EraseAdmin
from mcp_guard.admin.hold import HoldAdmin
from mcp_guard.audit.erasure import Wanted
from mcp_guard.audit.holds import Holds, NoSuchHold
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.pseudonyms import Pseudonyms
from mcp_guard.audit.query import Query
from mcp_guard.model.errors import OnHold, UsageError
from mcp_guard.store.store import Store
from tests.admin.test_erase import act
from tests.audit.helpers import records
from tests.store.helpers import as_of_version, rows

WHY = "matter 12/26"
ERASE = "ticket 812"


@pytest.fixture
async def other(store: Store) -> AsyncIterator[Store]:
    """The same store as another process has it."""
    opened = Store.open(store.path, "test")
    yield opened
    await opened.aclose()


@pytest.fixture
def admin(store: Store, journal: Journal) -> HoldAdmin:
    return HoldAdmin(Holds(store), journal, store.clock)


@pytest.fixture
def erasing(other: Store) -> EraseAdmin:
    return EraseAdmin(other, Journal(other), Query(other))


def recorded(store: Store) -> list[dict[str, Any]]:
    return records(store.path)


def said(store: Store) -> list[dict[str, Any]]:
    return [record for record in recorded(store) if record["kind"] == "config"]


def values(path: Path) -> list[tuple[object, ...]]:
    return rows(path, "SELECT n, fields FROM side ORDER BY n")


@pytest.mark.holds("hold:keeps")
@pytest.mark.parametrize("held", [("subject", "user:alice"), ("call", "c1"), ("all", "")])
@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("subject", "user:alice"),
        Wanted("call", "c1"),
        Wanted("field", "args", 0),
        Wanted("field", "args/reason", 0),
        Wanted("field", "result", 1),
    ],
)
async def test_what_is_held_is_not_erased(
    held: Any, wanted: Wanted, admin: HoldAdmin, erasing: EraseAdmin, store: Store
) -> None:
    await act(admin.journal, "c1")
    await act(admin.journal, "c2", "bob")
    hold = await admin.hold(held[0], held[1], WHY)
    before, size = values(store.path), len(recorded(store))
    for dry_run in (True, False):
        with pytest.raises(OnHold) as refused:
            await erasing.erase(wanted, ERASE, dry_run=dry_run)
        assert (refused.value.code, refused.value.exit_code) == ("on_hold", 5)
        assert hold.id in refused.value.message
    assert values(store.path) == before
    assert len(recorded(store)) == size
    await admin.release(hold.id)
    assert (await erasing.erase(wanted, ERASE)).fields > 0


@pytest.mark.holds("hold:keeps")
async def test_what_is_not_held_can_be_erased(
    admin: HoldAdmin, erasing: EraseAdmin, journal: Journal, store: Store
) -> None:
    await act(journal, "c1")
    await act(journal, "c2", "bob")
    await admin.hold("subject", "user:alice", WHY)
    await admin.hold("call", "c1", WHY)
    assert (await erasing.erase(Wanted("subject", "user:bob"), ERASE)).records == 2
    assert (await erasing.erase(Wanted("call", "c2"), ERASE)).fields == 0


@pytest.mark.holds("hold:keeps")
async def test_a_call_of_somebody_keeps_all_of_theirs_from_going_at_once(
    admin: HoldAdmin, erasing: EraseAdmin, journal: Journal
) -> None:
    await act(journal, "c1")
    await act(journal, "c2")
    await admin.hold("call", "c1", WHY)
    with pytest.raises(OnHold):
        await erasing.erase(Wanted("subject", "user:alice"), ERASE)
    assert (await erasing.erase(Wanted("call", "c2"), ERASE)).records == 2


@pytest.mark.holds("hold:keeps")
@pytest.mark.parametrize("by_pseudonym", [False, True])
async def test_a_person_is_held_under_every_name(by_pseudonym: bool, store: Store, other: Store) -> None:
    journal = Journal(store, pseudonyms=Pseudonyms(store, bytes(32)))
    await act(journal, "c1")
    known_as = str(recorded(store)[0]["actor"]["sub"])
    admin = HoldAdmin(Holds(store), journal, store.clock)
    erasing = EraseAdmin(other, Journal(other), Query(other))
    names = (known_as, "user:alice") if by_pseudonym else ("user:alice", known_as)
    await admin.hold("subject", names[0], WHY)
    assert "user:alice" not in str(said(store)[-1])
    for wanted in (Wanted("subject", names[1]), Wanted("subject", names[0]), Wanted("field", "args", 0)):
        with pytest.raises(OnHold):
            await erasing.erase(wanted, ERASE)
    assert rows(store.path, "SELECT subject FROM pseudonym") == [("user:alice",)]
    await journal.aclose()


@pytest.mark.holds("hold:keeps")
async def test_held_between_looking_and_erasing(
    admin: HoldAdmin, erasing: EraseAdmin, journal: Journal, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await act(journal, "c1")
    before = values(store.path)
    looked = EraseAdmin._still_open

    async def then_held(self: EraseAdmin, numbers: list[int]) -> int:
        await admin.hold("call", "c1", WHY)
        return await looked(self, numbers)

    monkeypatch.setattr(EraseAdmin, "_still_open", then_held)
    with pytest.raises(OnHold):
        await erasing.erase(Wanted("subject", "user:alice"), ERASE)
    assert values(store.path) == before
    assert [record["kind"] for record in recorded(store)][-1] == "config"


@pytest.mark.holds("hold:recorded")
async def test_both_are_on_record(admin: HoldAdmin, store: Store) -> None:
    hold = await admin.hold("subject", "user:alice", WHY)
    every = await admin.hold("all", "", WHY)
    assert {*await admin.holds.all()} == {hold, every}
    await admin.release(hold.id)
    what = [record["state"] for record in said(store)]
    subject = {"id": hold.id, "reason": WHY, "subject": "user:alice"}
    assert what == [
        {"what": "held", **subject},
        {"what": "held", "id": every.id, "reason": WHY, "all": 1},
        {"what": "released", **subject},
    ]
    assert all(record["actor"]["sub"].startswith("operator:") for record in said(store))


@pytest.mark.holds("hold:recorded")
async def test_released_once(admin: HoldAdmin, store: Store) -> None:
    hold = await admin.hold("call", "c1", WHY)
    await admin.release(hold.id)
    size = len(recorded(store))
    with pytest.raises(NoSuchHold):
        await admin.holds.delete(hold, admin.journal.entry("config", {}))
    for which in (hold.id, "c1", "nonsense"):
        with pytest.raises(UsageError):
            await admin.release(which)
    assert len(recorded(store)) == size


@pytest.mark.parametrize("name", ["a\nb", "x" * 1000, "\u202euser:alice"])
async def test_what_cannot_be_shown_cannot_be_held(name: str, admin: HoldAdmin, store: Store) -> None:
    with pytest.raises(UsageError):
        await admin.hold("call", name, WHY)
    with pytest.raises(UsageError):
        await admin.hold("all", "", " ")
    assert await admin.holds.all() == []


async def test_a_store_of_an_earlier_version_holds_nothing(store: Store, journal: Journal) -> None:
    await act(journal, "c1")
    await store.aclose()
    as_of_version(store.path, 9)
    reading = Store.open_readonly(store.path)
    assert await Holds(reading).all() == []
    await reading.aclose()
