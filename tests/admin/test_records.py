"""Reading the log: decided by policy, narrowed to rows, and itself on record, allowed or not."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mcp_guard.admin.records import DEFAULT_LIMIT, RecordReader, parse_filters
from mcp_guard.audit import anchors
from mcp_guard.audit.facts import CallFacts, Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.listings import state
from mcp_guard.audit.proofs import Proofs
from mcp_guard.audit.query import Query
from mcp_guard.limits.freeze import NO_TOOL, Freezes
from mcp_guard.model.decision import AccessRequest, Act, Decision, Effect, Obligations, Rows
from mcp_guard.model.errors import Refused, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Transaction
from mcp_guard.store.values import Unit
from tests.admin.conftest import records, unlabelled

ALICE = Principal("user:alice", "agent:local", "acme", "bearer", "token")
BOB = replace(ALICE, subject="user:bob")
ZOE = replace(ALICE, subject="user:zoe", tenant="globex")

Answers = Mapping[tuple[Act, str], Decision]


def allow(rows: Rows | None = None) -> Decision:
    return Decision(Effect.ALLOW, "r", "because", "p", Obligations(rows=rows))


DENY = Decision(Effect.DENY, "no-audit", "the log is not for you", "p")
ASK = Decision(Effect.REQUIRE_APPROVAL, "ask", "somebody has to agree", "p")


def reader(store: Store, journal: Journal, answers: Answers) -> RecordReader:
    def decide(_: Principal, act: Act, name: str) -> Decision:
        return answers.get((act, name), DENY)

    return RecordReader(
        decide, lambda who: Freezes(store).decision(who, NO_TOOL, "p"), unlabelled, Query(store), journal, Proofs(store)
    )


def audits(decision: Decision) -> Answers:
    return {("audit", "audit:records"): decision}


@pytest.fixture
async def three_calls(journal: Journal) -> None:
    """One call each: Alice and Bob at acme, Zoe at globex."""
    for number, who in enumerate((ALICE, BOB, ZOE)):
        facts = CallFacts(f"call-{number}", who, "orders_get", arguments={"n": number}, decision=allow())
        await journal.outcome(facts, Ending("ok", "yes", 1))


@pytest.mark.holds("audit:rows-scope")
@pytest.mark.parametrize(
    ("rows", "subjects"),
    [
        (None, {"user:alice"}),
        ("own", {"user:alice"}),
        ("tenant", {"user:alice", "user:bob"}),
        ("all", {"user:alice", "user:bob", "user:zoe"}),
    ],
)
async def test_rows(rows: Rows | None, subjects: set[str], store: Store, journal: Journal, three_calls: None) -> None:
    page = await reader(store, journal, audits(allow(rows))).page(ALICE, {})
    found = page["records"]
    assert isinstance(found, list)
    assert {record["actor"]["sub"] for record in found} == subjects
    last = (await records(store))[-1]
    assert (last["kind"], last["actor"]["sub"]) == ("read", "user:alice")
    assert last["state"] == {"what": "records", "rows": rows or "own", "count": len(found)}


@pytest.mark.holds("audit:rows-scope")
async def test_somebody_elses_call_looks_like_none(store: Store, journal: Journal, three_calls: None) -> None:
    own = reader(store, journal, audits(allow("own")))
    assert await own.call(ALICE, "call-1") == {"call": "call-1", "records": []}
    assert await own.call(ALICE, "call-9") == {"call": "call-9", "records": []}
    mine = await own.call(ALICE, "call-0")
    assert isinstance(mine["records"], list)
    assert mine["records"][0]["values"] == {"args": {"n": 0}}


@pytest.mark.holds("audit:inputs-kept")
@pytest.mark.parametrize("rows", ["own", "tenant", "all"])
async def test_the_inputs_of_a_decision_are_for_those_who_read_all(rows: Rows, store: Store, journal: Journal) -> None:
    who = replace(ALICE, attributes={"watched": "closely"})
    asked = AccessRequest(who, "list", "hidden_tool", datetime(2026, 1, 5, tzinfo=UTC))
    facts = CallFacts("c", who, "hidden_tool", decision=DENY, asked=asked)
    await journal.outcome(facts, Ending("refused", "no", 1, code="policy_denied"))
    reading = reader(store, journal, audits(allow(rows)))
    told = [(await reading.page(ALICE, {}))["records"], (await reading.call(ALICE, "c"))["records"]]
    assert ("ctx" in str(told), "closely" in str(told)) == ((True, True) if rows == "all" else (False, False))


@pytest.mark.holds("audit:reads-recorded")
@pytest.mark.parametrize("decision", [DENY, ASK], ids=["denied", "asked for approval"])
async def test_a_denied_read_is_refused_and_on_record(
    decision: Decision, store: Store, journal: Journal, three_calls: None
) -> None:
    denied = reader(store, journal, audits(decision))
    assert not denied.may_read(ALICE)
    for ask in (denied.page(ALICE, {}), denied.call(ALICE, "call-0"), denied.status(ALICE)):
        with pytest.raises(Refused) as caught:
            await ask
        assert (caught.value.code, caught.value.rule) == ("policy_denied", decision.rule)
    reads = [record["state"] for record in await records(store) if record["kind"] == "read"]
    assert [state["what"] for state in reads] == ["records", "call", "status"]
    assert all(state["effect"] == "deny" and state["rule"] == decision.rule for state in reads)


async def test_whoami_needs_list_and_call(store: Store, journal: Journal) -> None:
    both: Answers = {("list", "guard:whoami"): allow(), ("call", "guard:whoami"): allow()}
    shown = await reader(store, journal, both).whoami(ALICE, ("role:support",))
    assert (shown["sub"], shown["roles"], shown["scopes"]) == ("user:alice", ["role:support"], [])
    for act in ("list", "call"):
        half = {key: value for key, value in both.items() if key[0] != act}
        lacking = reader(store, journal, half)
        assert not lacking.may_see_self(ALICE)
        with pytest.raises(Refused):
            await lacking.whoami(ALICE, ())
    effects = [record["state"]["effect"] for record in await records(store)]
    assert effects == ["allow", "deny", "deny"]


@pytest.mark.holds("anchors:status")
async def test_where_the_log_is_anchored_is_told_to_readers_of_everything(store: Store, journal: Journal) -> None:
    def work(transaction: Transaction) -> None:
        anchors.claim(transaction, anchors.Kept("witness", "w.example"), 1, 0)
        anchors.keep(transaction, "witness", "w.example", anchors.Confirmed(1, 1_789_999_990, b""))

    await store.writer.submit(Unit((), work))
    for rows in ("own", "tenant", "all"):
        status = await reader(store, journal, audits(allow(rows))).status(ALICE)
        assert (status["anchored"], status["anchored_age_s"]) == (1, 10)
        assert ("anchors" in status) is (rows == "all")


async def test_status(store: Store, journal: Journal, three_calls: None) -> None:
    status = await reader(store, journal, audits(allow("own"))).status(ALICE)
    assert status["origin"] == store.origin
    assert (await records(store))[-1]["state"] == {"what": "status"}


def test_filters() -> None:
    assert parse_filters({}).limit == DEFAULT_LIMIT
    found = parse_filters({"actor": "user:a", "tool": "t", "before": "10", "after": "2", "limit": "500"})
    assert (found.actor, found.tool, found.before, found.after, found.limit) == ("user:a", "t", 10, 2, 500)


@pytest.mark.parametrize("name", ["after", "before", "since", "until", "limit"])
@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "1e3", "²", "٣", " 1", "1" * 17, "0x10"])
def test_filters_that_are_no_numbers(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        parse_filters({name: value})
    if len(value) > 1:
        assert value not in caught.value.message


def test_a_page_has_a_size() -> None:
    with pytest.raises(UsageError, match="larger than 500"):
        parse_filters({"limit": "501"})


@pytest.mark.holds("audit:lists-recorded", "policy:hidden-is-unknown")
@pytest.mark.parametrize(("rows", "told"), [("own", False), ("tenant", False), ("all", True)])
async def test_who_does_not_read_everything_reads_of_no_hidden_tools(
    rows: Rows, told: bool, store: Store, journal: Journal
) -> None:
    await journal.listed(ALICE, state(["orders_get"], {"secret-rule": 7}))
    page = await reader(store, journal, audits(allow(rows))).page(ALICE, {"kind": "read"})
    found = page["records"]
    assert isinstance(found, list)
    assert found[0]["state"]["count"] == 1
    assert ("withheld" in found[0]["state"], "secret-rule" in str(found)) == (told, told)
    assert (await records(store))[0]["state"]["by"] == {"secret-rule": 7}, "what is stored stays whole"
