"""Records hold exactly the fields of contract 6, in bytes every canonicaliser agrees on."""

from dataclasses import replace
from typing import Any, get_args

import orjson
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.audit import record
from mcp_guard.audit.facts import CallFacts, Ending
from mcp_guard.audit.record_form import FormCheck
from mcp_guard.audit.verify import parse
from mcp_guard.model.chain import Tail
from tests.audit.helpers import ALLOW, OK, facts, person

BOOT = "0123456789abcdef"
C = {"args": {"c": "ab", "len": 2}}

texts = st.text(max_size=12)
states = st.recursive(
    texts | st.integers(1 - 2**53, 2**53 - 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", max_size=4), inner, max_size=3),
    max_leaves=6,
)


def fields(body: bytes) -> set[str]:
    return set(orjson.loads(body))


@pytest.mark.holds("audit:record-fields")
def test_an_intent_says_who_what_and_why_it_may() -> None:
    body = record.intent(BOOT, facts(), C)
    assert fields(body) == {"v", "kind", "boot", "actor", "call", "tool", "fp", "args", "decision"}
    whole = replace(facts(), trace="t", task="k", step="s", attempt=2)
    assert fields(record.intent(BOOT, whole, C)) - fields(body) == {"trace", "task", "step", "attempt"}


@pytest.mark.holds("audit:record-fields")
def test_an_outcome_with_an_intent_repeats_nothing_of_it() -> None:
    body = record.outcome(BOOT, facts(), OK, 7, {"result": {"c": "ab", "len": 2}})
    assert fields(body) == {"v", "kind", "boot", "call", "of", "status", "executed", "us", "result"}
    full = record.outcome(BOOT, facts(), replace(OK, code="internal", cost=5), 7, {})
    assert fields(full) == {"v", "kind", "boot", "call", "of", "status", "executed", "us", "code", "cost"}


@pytest.mark.holds("audit:record-fields")
def test_an_outcome_without_an_intent_says_it_all() -> None:
    body = record.outcome(BOOT, facts(), Ending("refused", "no", 1, code="policy_denied"), None, C)
    assert fields(body) >= {"actor", "tool", "fp", "args", "decision", "status", "executed", "us", "code"}
    assert "of" not in fields(body)


def test_a_stranger_cannot_make_a_name_long() -> None:
    body = record.outcome(BOOT, facts(tool="x" * 100_000), Ending("refused", "no", 1), None, {})
    assert len(body) < 2000


def test_nothing_is_done_without_a_decision() -> None:
    with pytest.raises(ValueError, match="decision"):
        record.intent(BOOT, facts(decision=None), C)


@pytest.mark.holds("audit:canonical")
@settings(deadline=None, max_examples=80)
@given(st.dictionaries(st.text("abc_", max_size=4), states, max_size=4), texts, texts)
def test_the_bytes_are_those_of_rfc_8785(state: dict[str, object], tool: str, reason: str) -> None:
    told = facts(tool=tool, decision=replace(ALLOW, reason=reason or "r"))
    for body in (record.state(BOOT, "fault", state), record.intent(BOOT, told, C)):
        line, _ = Tail.start("o").seal(body, 1)
        assert rfc8785.dumps(orjson.loads(line)) == line
        assert FormCheck(parse).feed(0, line)[1] is None


@st.composite
def any_facts(draw: st.DrawFn) -> CallFacts:
    """A call of which strangers and operators chose every text."""
    optional = st.none() | texts
    who = replace(person(), subject=draw(texts), client=draw(texts), tenant=draw(texts), software=draw(texts))
    return CallFacts(
        call=draw(texts),
        principal=replace(who, chain=tuple(draw(st.lists(texts, max_size=3)))),
        tool=draw(texts),
        fingerprint=draw(optional),
        decision=replace(ALLOW, rule=draw(texts) or "r", reason=draw(texts) or "r"),
        trace=draw(optional),
        task=draw(optional),
        step=draw(optional),
        attempt=draw(st.none() | st.integers(0, 2**53 - 1)),
        dry_run=draw(st.booleans()),
    )


endings = st.builds(
    Ending,
    st.sampled_from(["ok", "refused", "error", "timeout", "cancelled", "unknown"]),
    st.sampled_from(["yes", "no", "unknown"]),
    st.integers(0, 2**53 - 1),
    code=st.sampled_from([None, "policy_denied", "internal"]),
    cost=st.none() | st.integers(0, 2**53 - 1),
)
commitments = st.dictionaries(
    st.sampled_from(["args", "result", "why"]),
    st.builds(lambda length: {"c": "ab" * 32, "len": length}, st.integers(0, 2**53 - 1)),
)


@pytest.mark.holds("audit:canonical")
@settings(deadline=None, max_examples=80)
@given(any_facts(), endings, commitments, st.sampled_from(get_args(record.StateKind)), states)
def test_every_kind_of_record_has_the_bytes_of_rfc_8785(
    told: CallFacts, ending: Ending, kept: Any, kind: record.StateKind, state: object
) -> None:
    intent = record.intent(BOOT, told, kept)
    line, _ = Tail.start("o").seal(intent, 1)
    bodies = [
        intent,
        record.outcome(BOOT, told, ending, None, kept),
        record.outcome(BOOT, told, ending, 7, kept),
        record.orphan(BOOT, orjson.loads(line), 2**52),
        record.state(BOOT, kind, {"x": state}),
        record.state(BOOT, kind, {"x": state}, told.principal),
    ]
    for body in bodies:
        line, _ = Tail.start("o").seal(body, 1)
        assert rfc8785.dumps(orjson.loads(line)) == line


@pytest.mark.holds("audit:canonical")
@pytest.mark.parametrize("value", [1.5, True, None, 2**53, -(2**53), float("nan"), {1: "x"}, {"é": 1}, {1, 2}, b"x"])
def test_what_canonicalisers_could_disagree_on_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        record.state(BOOT, "fault", {"x": value})


@pytest.mark.holds("audit:canonical")
@pytest.mark.parametrize("ending", [{"us": 1.5}, {"us": True}, {"us": -(2**53)}, {"cost": 2**53}, {"cost": 0.1}])
def test_an_ending_holds_whole_numbers(ending: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        record.outcome(BOOT, facts(), replace(OK, **ending), None, {})


def test_an_orphan_keeps_the_ids_of_its_intent() -> None:
    intent = {"_n": 3, "_t": 100, "call": "c", "task": "t", "step": "s", "attempt": 1, "actor": {}, "tool": "x"}
    found = orjson.loads(record.orphan(BOOT, intent, 150))
    assert found == {
        "v": 1,
        "kind": "outcome",
        "boot": BOOT,
        "call": "c",
        "task": "t",
        "step": "s",
        "attempt": 1,
        "of": 3,
        "status": "unknown",
        "executed": "unknown",
        "us": 50,
    }
    assert orjson.loads(record.orphan(BOOT, intent, 50))["us"] == 0


def test_state_records_carry_their_actor_where_there_is_one() -> None:
    assert "actor" not in fields(record.state(BOOT, "boot", {}))
    assert orjson.loads(record.state(BOOT, "config", {}, person()))["actor"]["sub"] == "user:alice"
