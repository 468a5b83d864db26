"""Intents before acts, outcomes before answers, and nothing forgotten while the process lives."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from mcp_guard.audit import backlog
from mcp_guard.audit.commitment import matches
from mcp_guard.audit.facts import Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.verify import verify
from mcp_guard.kit import strict_json
from mcp_guard.model.decision import AccessRequest
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.errors import InDoubt
from mcp_guard.store.side import unpack
from mcp_guard.store.store import Store
from mcp_guard.store.values import Stored
from tests.audit.helpers import DENY, OK, REFUSED, facts, move, person, records
from tests.simulators.clock import FakeClock
from tests.simulators.disk import Disk
from tests.store.helpers import rows


def kept(path: Path, n: int) -> dict[str, bytes | None]:
    ((packed,),) = rows(path, "SELECT fields FROM side WHERE n = ?", n)
    assert isinstance(packed, bytes)
    return {side.field: side.value for side in unpack(packed)}


async def until(path: Path, count: int) -> list[dict[str, object]]:
    """Wait for a number of records."""

    async def reached() -> None:
        while len(records(path)) < count:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(reached(), 60)
    return records(path)


async def settled(journal: Journal) -> None:
    """Wait until writing works again, and the journal knows."""
    async with asyncio.timeout(60):
        while not journal.health.ok:
            await asyncio.sleep(0.01)


@pytest.mark.holds("audit:intent-before-act")
async def test_an_act_leaves_an_intent_and_its_outcome(journal: Journal, path: Path) -> None:
    intent = await journal.intent(facts())
    assert [record["kind"] for record in records(path)] == ["intent"], "durable on return"
    assert rows(path, "SELECT n FROM inflight") == [(0,)]
    outcome = await journal.outcome(facts(), OK, intent)
    first, second = records(path)
    assert (second["of"], second["status"], second["executed"]) == (0, "ok", "yes")
    assert first["call"] == second["call"] == "c1"
    assert outcome.n == 1
    assert rows(path, "SELECT n FROM inflight") == []


@pytest.mark.holds("audit:sensitive-never-kept")
async def test_values_stand_beside_the_record_and_sensitive_ones_do_not(journal: Journal, path: Path) -> None:
    intent = await journal.intent(facts())
    await journal.outcome(facts(), replace(OK, result={"reason": "echoed secret", "refund": 1}), intent)
    asked, answered = kept(path, 0), kept(path, 1)
    assert orjson.loads(asked["args"] or b"")["amount"] == 12.5
    assert asked["why"] == b'"the customer asked"'
    assert asked["args/reason"] is None
    assert answered["result/reason"] is None
    everything = b"".join(row[0] for row in rows(path, "SELECT fields FROM side") if isinstance(row[0], bytes))
    assert b"secret" not in everything + b"".join(strict_json.dumps(record) for record in records(path))
    for n, field in ((0, "args"), (0, "why"), (1, "result")):
        ((packed,),) = rows(path, "SELECT fields FROM side WHERE n = ?", n)
        assert isinstance(packed, bytes)
        (side,) = (side for side in unpack(packed) if side.field == field)
        assert matches(records(path)[n][field], side.salt, side.value or b"")


@pytest.mark.holds("audit:inputs-kept")
async def test_the_inputs_of_a_decision_stand_beside_it(store: Store, path: Path) -> None:
    journal = Journal(store, redact=lambda value: strict_json.loads(strict_json.dumps(value).replace(b"hunter2", b"*")))
    who = replace(
        person(),
        scopes=frozenset({"b:read", "a:read"}),
        roles=frozenset({"role:claimed"}),
        attributes={"team": "canary-team", "passport": "canary-passport", "note": "hunter2"},
    )
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    asked = AccessRequest(who, "call", "payments_refund", now, {"amount": 1}, {"name": "demo"})
    told = replace(facts(who=who), asked=asked, sensitive_attributes=("/attributes/passport",))
    await journal.outcome(told, OK, await journal.intent(told))
    await journal.outcome(replace(told, dry_run=True), REFUSED)
    await journal.outcome(replace(told, decision=None), REFUSED)
    assert ["ctx" in record for record in records(path)] == [True, False, True, False]
    for n in (0, 2):
        inputs = orjson.loads(kept(path, n)["ctx"] or b"")
        assert inputs["attributes"].pop("passport")["sensitive"]["len"] == len('"canary-passport"')
        assert inputs == {
            "act": "call",
            "now": 1767614400,
            "env": {"name": "demo"},
            "scopes": ["a:read", "b:read"],
            "roles": ["role:claimed"],
            "attributes": {"team": "canary-team", "note": "*"},
        }
    line = b"".join(strict_json.dumps(record) for record in records(path))
    assert b"canary" not in line, "attributes are no part of a record"
    await journal.aclose()
    await store.aclose()
    assert verify(path, deep=True).ok
    assert all(b"canary-passport" not in file.read_bytes() for file in path.parent.glob("guard.db*"))


async def test_the_redactor_sees_values_first(store: Store, path: Path) -> None:
    journal = Journal(store, redact=lambda value: strict_json.loads(strict_json.dumps(value).replace(b"ORD", b"***")))
    await journal.outcome(facts(), OK)
    assert b"ORD" not in (kept(path, 0)["args"] or b"")


@pytest.mark.holds("audit:refusals-recorded")
async def test_a_refused_call_is_one_outcome(journal: Journal, path: Path) -> None:
    await journal.outcome(facts(decision=DENY), REFUSED)
    (found,) = records(path)
    assert (found["kind"], found["status"], found["code"]) == ("outcome", "refused", "policy_denied")
    assert found["decision"] == DENY.as_record()


async def test_a_call_that_was_never_read_is_recorded_all_the_same(journal: Journal, path: Path) -> None:
    bare = replace(facts(decision=None), arguments=None, fingerprint=None, justification=None)
    await journal.outcome(bare, Ending("refused", "no", 1, code="args_invalid"))
    assert records(path)[0].keys() & {"args", "fp", "why", "decision"} == set()
    assert verify(path, deep=True).ok


async def test_the_other_kinds(journal: Journal, path: Path) -> None:
    await journal.boot({"version": "1"})
    await journal.config({"what": "policy", "version": "ab"}, person())
    await journal.read(person(), {"what": "records"})
    await journal.shutdown({})
    assert [record["kind"] for record in records(path)] == ["boot", "config", "read", "shutdown"]
    assert verify(path, deep=True).ok


# --- the log cannot be written --------------------------------------------------------------------------------------


@pytest.mark.holds("audit:no-record-no-act")
async def test_nothing_is_done_while_the_log_cannot_be_written(journal: Journal, path: Path, tmp_path: Path) -> None:
    journal.require_writable()
    move(path, tmp_path / "away" / "guard.db")
    with pytest.raises(StoreUnavailable):
        await journal.intent(facts())
    assert not journal.health.ok
    with pytest.raises(StoreUnavailable) as caught:
        journal.require_writable()
    assert caught.value.message == journal.health.reason
    move(tmp_path / "away" / "guard.db", path)
    await journal.outcome(facts(), REFUSED)
    journal.require_writable()


@pytest.mark.holds("audit:one-outcome", "audit:outcomes-survive-faults")
async def test_an_outcome_that_could_not_be_written_comes_first_when_it_can(
    journal: Journal, path: Path, tmp_path: Path
) -> None:
    intents = [await journal.intent(facts(f"c{i}")) for i in range(3)]
    move(path, tmp_path / "away" / "guard.db")
    endings = [OK, Ending("error", "yes", 9, code="upstream_error"), Ending("timeout", "unknown", 9)]
    for i, (intent, ending) in enumerate(zip(intents, endings, strict=True)):
        with pytest.raises(StoreUnavailable):
            await journal.outcome(facts(f"c{i}"), ending, intent)
    assert journal.health.kept == 3
    move(tmp_path / "away" / "guard.db", path)
    await journal.read(person(), {"what": "status"})
    found = records(path)[3:]
    assert [record.get("of") for record in found] == [0, 1, 2, None]
    assert [record.get("status") for record in found] == ["ok", "error", "timeout", None]
    assert journal.health.kept == 0
    assert rows(path, "SELECT * FROM inflight") == []
    assert verify(path, deep=True).ok


@pytest.mark.holds("audit:outcomes-survive-faults")
async def test_kept_outcomes_are_written_without_further_traffic(
    journal: Journal, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "RETRY_SECONDS", 0.01)
    intent = await journal.intent(facts())
    move(path, tmp_path / "away" / "guard.db")
    with pytest.raises(StoreUnavailable):
        await journal.outcome(facts(), OK, intent)
    move(tmp_path / "away" / "guard.db", path)
    assert (await until(path, 2))[1]["of"] == 0


@pytest.mark.holds("audit:outcomes-survive-faults")
async def test_closing_writes_what_was_kept(store: Store, path: Path, tmp_path: Path) -> None:
    journal = Journal(store)
    intent = await journal.intent(facts())
    move(path, tmp_path / "away" / "guard.db")
    with pytest.raises(StoreUnavailable):
        await journal.outcome(facts(), OK, intent)
    move(tmp_path / "away" / "guard.db", path)
    await journal.aclose()
    assert [record["kind"] for record in records(path)] == ["intent", "outcome", "fault"]


async def test_what_is_kept_is_bounded_and_refusals_do_not_push_out_acts(
    journal: Journal, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "MAX_OTHERS", 5)
    intents = [await journal.intent(facts(f"c{i}")) for i in range(3)]
    move(path, tmp_path / "away" / "guard.db")
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            await journal.outcome(facts(decision=DENY), REFUSED)
    for intent in intents:
        with pytest.raises(StoreUnavailable):
            await journal.outcome(facts(), OK, intent)
    assert journal.health.kept == 8
    move(tmp_path / "away" / "guard.db", path)
    await journal.aclose()
    assert [record["kind"] for record in records(path)] == ["intent"] * 3 + ["outcome"] * 8 + ["fault"]


@pytest.mark.holds("audit:gap-on-record")
async def test_health_turns_good_by_itself_and_the_gap_is_on_record(
    journal: Journal, path: Path, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "RETRY_SECONDS", 86_400.0)  # an attempt under way would know of fewer
    move(path, tmp_path / "away" / "guard.db")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await journal.read(person(), {"what": "status"})
        clock.advance(2)
    assert journal.health.since_us is not None
    move(tmp_path / "away" / "guard.db", path)
    monkeypatch.setattr(backlog, "RETRY_SECONDS", 0.01)
    journal._backlog._disarm()
    journal._backlog._arm()
    (gap,) = await until(path, 1)
    assert gap["state"] == {"code": "audit_unavailable", "where": "store", "count": 3, "us": 4_000_000}
    await settled(journal)
    await journal.read(person(), {"what": "status"})
    assert len(records(path)) == 2, "once"


# --- the disk is full -----------------------------------------------------------------------------------------------


@pytest.mark.holds("store:ballast", "crash:fail-closed", "audit:gap-on-record")
async def test_on_a_full_disk_acts_end_and_none_begins_until_there_is_space(
    journal: Journal, path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "RETRY_SECONDS", 0.01)
    begun = [await journal.intent(facts(f"c{i}")) for i in range(2)]
    disk = Disk(monkeypatch)
    disk.fail_while("SQLITE_FULL", path.with_name("guard.db.ballast").exists)
    disk.arm()
    with pytest.raises(StoreUnavailable, match="full"):
        await journal.intent(facts("new"))
    await journal.outcome(facts("c0"), OK, begun[0])
    await journal.outcome(facts("read"), OK)
    with pytest.raises(StoreUnavailable, match="full"):
        await journal.outcome(facts("refused", decision=DENY), REFUSED)
    await journal.outcome(facts("c1"), OK, begun[1])
    with pytest.raises(StoreUnavailable, match="full"):
        journal.require_writable()
    disk.mend()
    clock.advance(5)
    await settled(journal)
    journal.require_writable()
    told = [(record["kind"], record.get("call")) for record in records(path)]
    assert told[:5] == [("intent", "c0"), ("intent", "c1"), ("outcome", "c0"), ("outcome", "read"), ("outcome", "c1")]
    assert sorted(map(str, told[5:])) == sorted(map(str, [("outcome", "refused"), ("fault", None)]))
    assert verify(path, deep=True).ok


# --- a commit is in doubt -------------------------------------------------------------------------------------------


def endings(path: Path) -> list[tuple[object, ...]]:
    return [
        (record["kind"], record.get("of"), record.get("status"), record.get("executed"))
        for record in records(path)
        if record.get("call") == "c1"
    ]


@pytest.mark.holds("audit:one-outcome", "store:in-doubt")
@pytest.mark.parametrize("lands", [True, False])
async def test_a_call_whose_intent_is_in_doubt_has_one_outcome(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch, lands: bool
) -> None:
    disk = Disk(monkeypatch)
    disk.fail_at_commit(lands=lands, for_good=True)
    with pytest.raises(InDoubt):
        await journal.intent(facts())
    with pytest.raises(StoreUnavailable):
        await journal.intent(facts("c2"))
    disk.mend()
    other = await journal.intent(facts("c3"))
    await journal.outcome(facts("c3"), OK, other)
    expected: list[tuple[object, ...]] = [("outcome", 0 if lands else None, "error", "no")]
    assert endings(path) == [("intent", None, None, None)] * lands + expected
    await journal.aclose()
    assert rows(path, "SELECT * FROM inflight") == []
    assert verify(path, deep=True).ok


@pytest.mark.holds("audit:one-outcome", "store:in-doubt")
@pytest.mark.parametrize("lands", [True, False])
async def test_an_outcome_in_doubt_is_written_once(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch, lands: bool
) -> None:
    for told, intent in ((facts(), None), (facts("c2"), await journal.intent(facts("c2")))):
        disk = Disk(monkeypatch)
        disk.fail_at_commit(lands=lands, for_good=True)
        with pytest.raises(InDoubt):
            await journal.outcome(told, OK, intent)
        disk.mend()
        await journal.read(person(), {"what": "status"})
    await journal.aclose()
    outcomes = [record["call"] for record in records(path) if record["kind"] == "outcome"]
    assert outcomes == ["c1", "c2"]
    assert verify(path, deep=True).ok


@pytest.mark.holds("audit:one-outcome", "store:in-doubt")
@pytest.mark.parametrize("lands", [True, False, None])
async def test_a_call_whose_caller_left_while_the_store_failed_has_one_outcome(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch, lands: bool | None
) -> None:
    disk = Disk(monkeypatch)
    if lands is None:
        disk.fail()
    else:
        disk.fail_at_commit(lands=lands, for_good=True)
    task = asyncio.create_task(journal.intent(facts()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(StoreUnavailable):
        await journal.read(person(), {"what": "status"})
    disk.mend()
    await journal.aclose()
    expected: list[tuple[object, ...]] = [("outcome", 0 if lands else None, "cancelled", "no")]
    assert endings(path) == [("intent", None, None, None)] * bool(lands) + expected
    assert verify(path, deep=True).ok


# --- the caller goes away -------------------------------------------------------------------------------------------


@pytest.mark.holds("audit:one-outcome")
async def test_an_intent_whose_caller_is_gone_ends_as_cancelled(journal: Journal, path: Path) -> None:
    task = asyncio.create_task(journal.intent(facts()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    intent, outcome = await until(path, 2)
    assert intent["kind"] == "intent"
    assert (outcome["of"], outcome["status"], outcome["executed"]) == (0, "cancelled", "no")


@pytest.mark.holds("audit:one-outcome")
async def test_an_outcome_whose_caller_is_gone_is_written(journal: Journal, path: Path) -> None:
    intent = await journal.intent(facts())
    task = asyncio.create_task(journal.outcome(facts(), OK, intent))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await until(path, 2))[1]["status"] == "ok"


@pytest.mark.holds("audit:one-outcome")
async def test_a_second_outcome_is_refused(journal: Journal, path: Path) -> None:
    intent = await journal.intent(facts())
    await journal.outcome(facts(), OK, intent)
    with pytest.raises(StoreUnavailable, match="already has its outcome"):
        await journal.outcome(facts(), OK, intent)
    with pytest.raises(StoreUnavailable):
        await journal.outcome(facts(), OK, Stored(99, "", 0))
    assert len(records(path)) == 2
    assert journal.health.kept == 0


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.holds("audit:faults-counted")
async def test_repeated_faults_are_counted(journal: Journal, path: Path, clock: FakeClock) -> None:
    for _ in range(50):
        await journal.fault("bad_json", "stdio")
    await journal.fault("bad_json", "http", size=3)
    assert [record["state"] for record in records(path)] == [
        {"code": "bad_json", "where": "stdio", "count": 1},
        {"code": "bad_json", "where": "http", "count": 1, "size": 3},
    ]
    clock.advance(61)
    await journal._faults.flush()
    assert records(path)[-1]["state"] == {"code": "bad_json", "where": "stdio", "count": 49}
    await journal.fault("bad_json", "stdio")
    assert len(records(path)) == 4


@pytest.mark.holds("audit:faults-counted")
async def test_ever_new_faults_cannot_fill_the_disk(journal: Journal, path: Path) -> None:
    for i in range(500):
        await journal.fault(f"code-{i}", "http")
    assert len(records(path)) <= 66
    await journal.aclose()
    counted = [record["state"] for record in records(path)]
    assert sum(state["count"] for state in counted if isinstance(state, dict)) == 500


async def test_a_fault_that_cannot_be_recorded_raises_nothing_and_is_counted(
    journal: Journal, path: Path, tmp_path: Path
) -> None:
    move(path, tmp_path / "away" / "guard.db")
    for _ in range(3):
        await journal.fault("bad_json", "stdio")
    move(tmp_path / "away" / "guard.db", path)
    await journal.aclose()
    assert records(path)[0]["state"] == {"code": "bad_json", "where": "stdio", "count": 3}
