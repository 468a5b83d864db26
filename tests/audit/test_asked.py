"""Decisions on record become the same questions again, and whatever somebody wrote by hand becomes none."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.audit.asked import Asked, asked, decisions
from mcp_guard.audit.commitment import commit, commit_value
from mcp_guard.audit.facts import CallFacts
from mcp_guard.audit.journal import Journal
from mcp_guard.model import context
from mcp_guard.model.decision import AccessRequest
from mcp_guard.store.side import pack
from mcp_guard.store.store import Store
from mcp_guard.store.values import Side
from tests.audit.helpers import ALLOW, DENY, OK, REFUSED, facts, person
from tests.simulators.clock import FakeClock
from tests.store.helpers import rows

WHO = replace(
    person(),
    scopes=frozenset({"payments:refund"}),
    roles=frozenset({"role:claimed"}),
    attributes={"team": "support", "passport": "P-1"},
    chain=("agent:planner",),
)
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ARGUMENTS = {"amount": 12.5, "order_id": "ORD-1", "reason": "secret"}
QUESTION = AccessRequest(WHO, "call", "payments_refund", NOW, ARGUMENTS, {"name": "demo"})
FACTS = CallFacts(
    "c" * 32,
    WHO,
    "payments_refund",
    fingerprint="cd" * 32,
    arguments=ARGUMENTS,
    sensitive=("/reason",),
    decision=ALLOW,
    asked=QUESTION,
    sensitive_attributes=("/attributes/passport",),
)


def made(**change: object) -> tuple[dict[str, object], list[Side]]:
    """A record of a decision, and what stands beside it."""
    arguments, beside = commit_value("args", ARGUMENTS, ("/reason",))
    inputs, more = commit_value("ctx", context.of_request(QUESTION) | change)
    record: dict[str, object] = {
        "_n": 7,
        "_t": 1_767_614_400_000_001,
        "kind": "intent",
        "call": "c" * 32,
        "tool": "payments_refund",
        "actor": WHO.as_actor(),
        "decision": ALLOW.as_record(),
        "args": arguments,
        "ctx": inputs,
    }
    return record, [*beside, *more]


def read(record: Mapping[str, object], sides: list[Side]) -> Asked:
    found = asked(record, pack(sides))
    assert found is not None
    return found


@pytest.mark.holds("audit:inputs-kept")
async def test_a_question_comes_back_as_it_was_asked(journal: Journal, path: Path) -> None:
    await journal.outcome(FACTS, OK, await journal.intent(FACTS))
    await journal.outcome(replace(FACTS, decision=DENY, sensitive=(), sensitive_attributes=()), REFUSED)
    await journal.read(WHO, {"what": "records"})
    masked, whole = decisions(path)
    assert (whole.request, whole.decision, whole.unknown, whole.lacking) == (QUESTION, DENY, (), None)
    assert set(masked.unknown) == {("args", "reason"), ("subject", "attributes", "passport")}
    assert masked.request is not None
    assert masked.request.arguments is not None
    assert masked.request.arguments["amount"] == 12.5
    assert "secret" not in str(masked)
    assert "P-1" not in str(masked)


async def test_a_span_of_time(path: Path, clock: FakeClock) -> None:
    store = Store.open(path, "test", clock=clock)
    journal = Journal(store)
    starts = []
    for call in ("first", "second", "third"):
        starts.append(clock.now_us())
        await journal.outcome(replace(FACTS, call=call), REFUSED)
        clock.advance(10)
    await journal.aclose()
    await store.aclose()

    def calls(since: int = 0, until: int | None = None) -> list[str]:
        return [found.call for found in decisions(path, since, until)]

    assert calls() == ["first", "second", "third"]
    assert calls(starts[1]) == ["second", "third"]
    assert calls(starts[1], starts[2]) == ["second"]
    assert calls(starts[2] + 10_000_000) == []


async def test_a_record_from_before_inputs_were_kept(journal: Journal, path: Path) -> None:
    await journal.outcome(facts(), REFUSED)
    (found,) = decisions(path)
    assert (found.request, found.lacking, found.decision) == (None, "no_inputs", ALLOW)


@pytest.mark.holds("policy:replay-honest")
@pytest.mark.parametrize("field", ["args", "ctx"])
def test_what_was_erased_is_said(field: str) -> None:
    record, sides = made()
    without = [side for side in sides if side.field != field]
    assert read(record, without).lacking == "erased"
    emptied = [side._replace(value=None) if side.field == field else side for side in sides]
    assert read(record, emptied).lacking == "erased"
    assert read(record, []).lacking == "erased"


@pytest.mark.holds("policy:replay-honest")
@pytest.mark.parametrize("field", ["args", "ctx"])
def test_what_was_changed_is_not_believed(field: str) -> None:
    record, sides = made()
    for lie in (b"{}", b'{"amount":1}', b"not json", b""):
        lied = [side._replace(value=lie) if side.field == field else side for side in sides]
        assert read(record, lied).lacking == "altered"
    salted = [side._replace(salt=bytes(32)) if side.field == field else side for side in sides]
    assert read(record, salted).lacking == "altered"


@pytest.mark.holds("policy:replay-honest")
@pytest.mark.parametrize(
    "change",
    [
        {"decision": None},
        {"decision": {}},
        {"decision": ALLOW.as_record() | {"effect": "maybe"}},
        {"decision": ALLOW.as_record() | {"then": []}},
        {"decision": ALLOW.as_record() | {"then": {"quorum": "many"}}},
        {"decision": ALLOW.as_record() | {"then": {"unheard": 1}}},
        {"decision": ALLOW.as_record() | {"rule": ""}},
        {"actor": None},
        {"actor": "user:alice"},
        {"actor": {"sub": 1}},
        {"actor": WHO.as_actor() | {"sub": []}},
        {"actor": WHO.as_actor() | {"chain": [[]]}},
        {"actor": WHO.as_actor() | {"chain": [{"deep": 1}, "agent:x"]}},
        {"args": None},
        {"args": "x"},
        {"ctx": 5},
        {"ctx": {"c": 1, "len": None}},
        {"tool": None},
    ],
    ids=repr,
)
def test_a_record_made_up_by_hand_is_no_question(change: dict[str, object]) -> None:
    record, sides = made()
    found = read(record | change, sides)
    assert (found.request is None, found.lacking in ("unreadable", "altered")) == (True, True)


@pytest.mark.holds("policy:replay-honest")
@pytest.mark.parametrize("change", [{"act": "destroy"}, {"now": "noon"}, {"attributes": []}, {"of_the_future": 1}])
def test_inputs_the_guard_never_wrote_are_no_question(change: dict[str, object]) -> None:
    assert read(*made(**change)).lacking == "unreadable"


@pytest.mark.parametrize("change", [{"_n": "7"}, {"_n": True}, {"_n": -1}, {"_t": 2**70}, {"_t": None}, {"call": 5}])
def test_odd_numbers_and_names_hurt_nobody(change: dict[str, object]) -> None:
    record, sides = made()
    assert read(record | change, sides).request == read(record, sides).request


@pytest.mark.holds("policy:replay-honest")
def test_a_commitment_in_place_of_a_value_is_never_taken_for_one() -> None:
    """Also where the row of the sensitive part beside it is gone, and where it only looks like one."""
    record, sides = made()
    without = [side for side in sides if "/" not in side.field]
    assert read(record, without).unknown == (("args", "reason"),)


@pytest.mark.holds("policy:replay-honest")
def test_what_was_redacted_is_not_what_policy_saw() -> None:
    clean = {"list": ["a", "Bearer [redacted]"], "deep": {"[redacted]": 1}, "fine": "text", "number": 3}
    arguments, beside = commit_value("args", clean)
    record, sides = made(env={"name": "[redacted]"})
    found = read(record | {"args": arguments}, [*beside, *(side for side in sides if side.field == "ctx")])
    assert set(found.unknown) == {("args", "list", "1"), ("args", "deep"), ("env", "name")}


@pytest.mark.holds("policy:replay-honest")
def test_an_actor_as_deep_as_it_can_be() -> None:
    record, sides = made()
    deep: object = "agent:x"
    for _ in range(1020):
        deep = [deep]
    assert read(record | {"actor": WHO.as_actor() | {"chain": deep}}, sides).lacking == "unreadable"


def test_values_as_deep_as_they_can_be() -> None:
    deep = b'{"a":' * 900 + b'"[redacted]"' + b"}" * 900
    arguments, salt = commit(deep)
    record, sides = made()
    found = read(record | {"args": arguments}, [Side("args", salt, deep), sides[-1]])
    assert [len(where) for where in found.unknown] == [901]


@pytest.mark.holds("policy:replay-honest")
@given(st.binary(max_size=60))
@settings(max_examples=60)
def test_bytes_beside_a_record_are_read_or_refused(packed: bytes) -> None:
    record, _ = made()
    found = asked(record, packed)
    assert found is not None
    assert found.request is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.holds("policy:replay-honest")
@given(st.dictionaries(st.sampled_from(sorted(made()[0])), _JSON, max_size=4))
@settings(max_examples=150)
def test_whatever_stands_in_a_record_it_is_read_or_refused(change: dict[str, object]) -> None:
    record, sides = made()
    found = read(record | change, sides)
    assert (found.request is None) is (found.lacking is not None)


@pytest.mark.holds("policy:replay-honest")
async def test_lines_that_are_no_records_are_counted(journal: Journal, path: Path) -> None:
    await journal.outcome(FACTS, REFUSED)
    for n, line in enumerate(("not json", "[]", '{"decision":{}}', "9" * 400), 1):
        rows(path, "INSERT INTO log (n, line) VALUES (?, ?)", n, line)
    found = list(decisions(path))
    assert [one.lacking for one in found] == [None, *["unreadable"] * 4]


def test_a_list_decision_keeps_the_arguments_of_an_observed_call() -> None:
    """Without them another policy could not be asked about the call; those of a call that was none are none."""
    record, sides = made(act="list")
    found = read(record, sides)
    assert found.request is not None
    assert (found.request.act, found.request.arguments) == ("list", None)
    assert found.arguments is not None
    assert found.arguments["order_id"] == "ORD-1"
    assert found.unknown == (("args", "reason"),)
    assert read(record | {"code": "args_invalid"}, sides).arguments is None
    hidden = {name: value for name, value in record.items() if name != "args"}
    assert read(hidden, sides).arguments is None


def test_a_record_without_a_decision_is_none() -> None:
    assert asked({"kind": "read"}, b"") is None
