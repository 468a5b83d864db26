"""Revealing: what was committed to and nothing else, on record before it is told."""

from pathlib import Path

import orjson
import pytest

from mcp_guard.admin.erase import EraseAdmin
from mcp_guard.admin.reveal import RevealAdmin
from mcp_guard.audit.erasure import Wanted
from mcp_guard.audit.facts import CallFacts
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.query import Query
from mcp_guard.audit.reveal import from_export, sealed
from mcp_guard.kit import strict_json
from mcp_guard.model.errors import LogBroken, StoreUnavailable, UsageError
from mcp_guard.store.side import pack, unpack
from mcp_guard.store.store import Store
from mcp_guard.store.values import Side
from tests.admin.conftest import records
from tests.audit.helpers import ALLOW, OK, facts, person
from tests.store.helpers import lines, rows

SENSITIVE = strict_json.dumps("the customer's secret")
JUSTIFICATION = strict_json.dumps("the customer asked")


@pytest.fixture
def admin(store: Store, journal: Journal) -> RevealAdmin:
    return RevealAdmin(store, journal)


@pytest.fixture(autouse=True)
async def _story(journal: Journal) -> None:
    told = facts("c1")
    await journal.outcome(told, OK, await journal.intent(told))


async def states(store: Store) -> list[object]:
    return [record["state"] for record in await records(store) if record["kind"] == "read"]


@pytest.mark.holds("reveal:opens")
async def test_what_is_revealed_opens_the_commitment_for_whoever_is_shown_it(
    admin: RevealAdmin, store: Store, tmp_path: Path
) -> None:
    found = await admin.reveal(0, "why")
    assert found.value == JUSTIFICATION
    assert found.salt is not None
    export = tmp_path / "log.jsonl"
    export.write_bytes(b"".join(line + b"\n" for line in lines(store.path)))
    elsewhere = sealed(0, from_export(export, 0), (), "why")
    assert elsewhere.leaf == found.leaf
    assert elsewhere.opens_with(found.value, found.salt)
    assert not elsewhere.opens_with(found.value, bytes(32))
    assert not elsewhere.opens_with(b'"another"', found.salt)


@pytest.mark.holds("reveal:opens", "audit:sensitive-never-kept")
async def test_a_sensitive_part_is_checked_and_cannot_be_revealed(admin: RevealAdmin) -> None:
    found = await admin.reveal(0, "args/reason")
    assert found.value is None
    assert found.salt is not None
    assert (await admin.check(0, "args/reason", SENSITIVE, None))[1]
    assert (await admin.check(0, "args/reason", SENSITIVE, found.salt))[1]
    assert not (await admin.check(0, "args/reason", b'"a guess"', None))[1]
    assert not (await admin.check(0, "args/reason", SENSITIVE, bytes(32)))[1]


@pytest.mark.holds("reveal:recorded")
async def test_every_use_is_on_record_without_what_was_shown(admin: RevealAdmin, store: Store) -> None:
    await admin.reveal(0, "why")
    await admin.check(0, "args/reason", SENSITIVE, None)
    await admin.check(0, "args/reason", b'"a guess"', None)
    assert await states(store) == [
        {"what": "value", "n": 0, "field": "why"},
        {"what": "value", "n": 0, "field": "args/reason", "matches": 1},
        {"what": "value", "n": 0, "field": "args/reason", "matches": 0},
    ]
    assert b"guess" not in b"".join(lines(store.path))


@pytest.mark.holds("reveal:recorded")
async def test_what_cannot_be_recorded_is_not_revealed(admin: RevealAdmin, store: Store) -> None:
    rows(store.path, "CREATE TRIGGER no_more BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(StoreUnavailable):
        await admin.reveal(0, "why")


@pytest.mark.parametrize(
    ("n", "field"),
    [
        (9, "args"),
        (2**62, "args"),
        (0, "result"),
        (0, ""),
        (0, "_n"),
        (0, "tool"),
        (0, "actor"),
        (0, "args/amount"),
        (0, "args/"),
        (0, "args/reason/sensitive"),
        (0, "why/"),
        (0, "/reason"),
    ],
)
async def test_what_is_no_commitment_is_nothing_to_reveal(n: int, field: str, admin: RevealAdmin, store: Store) -> None:
    with pytest.raises(UsageError):
        await admin.reveal(n, field)
    assert await states(store) == []


async def test_after_an_erasure_only_a_shown_salt_helps(admin: RevealAdmin, store: Store, journal: Journal) -> None:
    before = await admin.reveal(0, "why")
    assert before.value is not None
    await EraseAdmin(store, journal, Query(store)).erase(Wanted("field", "why", 0), "ticket 812")
    after = await admin.reveal(0, "why")
    assert (after.value, after.salt, after.commitment) == (None, None, before.commitment)
    with pytest.raises(UsageError, match="no salt"):
        await admin.check(0, "why", before.value, None)
    assert (await admin.check(0, "why", before.value, before.salt))[1], "somebody had kept what was erased"
    await EraseAdmin(store, journal, Query(store)).erase(Wanted("field", "args", 0), "ticket 812")
    with pytest.raises(UsageError) as caught:
        await admin.check(0, "args/reason", SENSITIVE, bytes(32))
    assert "erased" in caught.value.hint


@pytest.mark.holds("reveal:believes-nothing")
async def test_a_value_that_was_swapped_is_not_revealed(admin: RevealAdmin, store: Store, journal: Journal) -> None:
    other = CallFacts("c2", person("bob"), "t", "cd" * 32, {"reason": "x"}, (), "another justification", ALLOW)
    await journal.intent(other)
    rows(store.path, "UPDATE side SET fields = (SELECT fields FROM side WHERE n = 2) WHERE n = 0")
    for field in ("args", "why", "args/reason"):
        with pytest.raises((LogBroken, UsageError)):
            await admin.reveal(0, field)
    assert await states(store) == []


@pytest.mark.holds("reveal:believes-nothing")
async def test_a_commitment_that_was_swapped_is_not_believed(admin: RevealAdmin, store: Store) -> None:
    """Whoever can write the file makes a commitment to a value of their liking; the next record tells on them."""
    forged = lines(store.path)[0]
    record = orjson.loads(forged)
    rows(store.path, "DROP TRIGGER log_lines_never_change")
    line = forged.replace(record["why"]["c"].encode(), b"0" * 64).decode()
    rows(store.path, "UPDATE log SET line = ? WHERE n = 0", line)
    with pytest.raises(LogBroken, match="record 1 follows"):
        await admin.check(0, "why", JUSTIFICATION, None)


@pytest.mark.holds("reveal:believes-nothing")
async def test_a_swapped_commitment_of_a_sensitive_part_is_not_believed(admin: RevealAdmin, store: Store) -> None:
    ((packed,),) = rows(store.path, "SELECT fields FROM side WHERE n = 0")
    assert isinstance(packed, bytes)
    forged = [
        side._replace(value=side.value.replace(b'"c":"', b'"c":"0')) if side.field == "args" and side.value else side
        for side in unpack(packed)
    ]
    rows(store.path, "UPDATE side SET fields = ? WHERE n = 0", pack(forged))
    with pytest.raises(LogBroken, match="value of args beside record 0"):
        await admin.check(0, "args/reason", SENSITIVE, None)


@pytest.mark.parametrize("damaged", [b"\x00", b"\x00\x04args", b"\xff" * 40])
async def test_a_damaged_row_is_said_to_be_one(damaged: bytes, admin: RevealAdmin, store: Store) -> None:
    rows(store.path, "UPDATE side SET fields = ? WHERE n = 0", damaged + b"\x01")
    with pytest.raises(LogBroken):
        await admin.reveal(0, "why")


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"_n":1}', b'{"_n":0', b'{"_n":0,"why":{"c":1,"len":2}}'])
def test_lines_that_are_no_such_record(line: bytes) -> None:
    try:
        found = sealed(0, (line, None), (), "why")
    except LogBroken:
        return
    assert not found.opens_with(b"{}", bytes(32))


def test_a_record_that_an_export_has_not(tmp_path: Path) -> None:
    export = tmp_path / "log.jsonl"
    export.write_bytes(b'{"_n":10,"x":1}\nrubbish\n')
    with pytest.raises(UsageError, match="no such record"):
        from_export(export, 1)
    assert from_export(export, 10) == (b'{"_n":10,"x":1}', b"rubbish")


def test_a_side_of_a_name_with_no_commitment_is_not_one() -> None:
    line = strict_json.dumps({"_n": 0, "args": "text", "state": {"what": "x"}})
    with pytest.raises(UsageError):
        sealed(0, (line, None), (Side("args", bytes(32), b"{}"),), "args")
