"""Who may decide: every way in which somebody is not the one who may."""

from dataclasses import replace
from typing import Any

import pytest

from mcp_guard.approval import rules
from mcp_guard.approval.request import ApprovalRequest, binding
from mcp_guard.approval.rules import Decider, objection, stands
from mcp_guard.approval.store import Agreed, Vote
from mcp_guard.model.decision import AskedNow, Decision, Effect, Escalation, Obligations
from mcp_guard.model.principal import Principal

ALICE = Principal("user:alice", "agent:local", "acme", "bearer", "token")
BOB = Principal("user:bob", "agent:local", "acme", "bearer", "token")
MAY = Decision(Effect.ALLOW, "finance-decides", "finance decides", "v")
MAY_NOT = Decision(Effect.DENY, "guard:default", "no rule allows this", "v")
REQUEST = ApprovalRequest(
    id="a",
    task="t",
    step="call",
    tool="payments_refund",
    binds="b",
    requester="user:alice",
    client="agent:local",
    tenant="acme",
    chain=("agent:helper",),
    rule="refund-large",
    reason="large",
    approvers=("role:finance", "user:erin"),
    not_requester=True,
    quorum=1,
    created_at=0,
    expires_at=1,
    summary=(),
)
GOOD = Decider(BOB, {"user:bob", "role:finance"}, MAY)

OBJECTIONS: dict[str, tuple[ApprovalRequest, Decider, str]] = {
    "no role": (REQUEST, replace(GOOD, roles={"user:bob"}), rules.NOT_YOURS),
    "a role of almost that name": (REQUEST, replace(GOOD, roles={"role:financ"}), rules.NOT_YOURS),
    "another tenant": (REQUEST, replace(GOOD, principal=replace(BOB, tenant="globex")), rules.NOT_YOURS),
    "policy does not let them": (REQUEST, replace(GOOD, decision=MAY_NOT), "no rule allows this"),
    "on behalf of somebody": (REQUEST, replace(GOOD, principal=replace(BOB, chain=("agent:x",))), rules.DELEGATED),
    "declared": (REQUEST, replace(GOOD, principal=replace(BOB, assurance="declared")), rules.DECLARED),
    "the requester": (REQUEST, replace(GOOD, principal=ALICE), rules.REQUESTER),
    "the requester through another client": (
        REQUEST,
        replace(GOOD, principal=replace(ALICE, client="agent:other")),
        rules.REQUESTER,
    ),
    "the client of the request, for itself": (
        replace(REQUEST, client="agent:bot"),
        replace(GOOD, principal=replace(BOB, subject="service:bot", client="agent:bot")),
        rules.REQUESTER,
    ),
    "a hop of the request, for itself": (
        REQUEST,
        replace(GOOD, principal=replace(BOB, subject="service:helper", client="agent:helper")),
        rules.REQUESTER,
    ),
    "a hop of the request": (
        REQUEST,
        replace(GOOD, principal=replace(BOB, subject="agent:helper")),
        rules.REQUESTER,
    ),
}


@pytest.mark.holds("approval:who")
@pytest.mark.parametrize("case", OBJECTIONS)
def test_somebody_who_may_not(case: str) -> None:
    request, decider, why = OBJECTIONS[case]
    assert objection(request, decider) == why


@pytest.mark.holds("approval:who")
def test_somebody_who_may() -> None:
    assert objection(REQUEST, GOOD) is None
    assert objection(REQUEST, replace(GOOD, roles={"user:erin"})) is None
    declared = replace(GOOD, principal=replace(BOB, assurance="declared"), trusted_declared=True)
    assert objection(REQUEST, declared) is None, "in a demo"
    own = replace(GOOD, principal=ALICE)
    assert objection(replace(REQUEST, not_requester=False), own) is None, "where the rule does not mind"
    assert objection(REQUEST, replace(declared, principal=replace(ALICE, assurance="declared"))) == rules.REQUESTER


OWN = replace(REQUEST, approvers=("requester", "role:finance"), chain=())
SELF = Decider(ALICE, {"user:alice", "role:finance", "requester"}, MAY, channel="cli")
NOT_CONFIRMED: dict[str, tuple[ApprovalRequest, Decider, str]] = {
    "an approver": (OWN, GOOD, rules.NOT_YOURS),
    "somebody of that role": (OWN, replace(GOOD, roles={"requester"}), rules.NOT_YOURS),
    "another tenant": (OWN, replace(SELF, principal=replace(ALICE, tenant="globex")), rules.NOT_YOURS),
    "frozen": (OWN, replace(SELF, decision=MAY_NOT), "no rule allows this"),
    "on behalf of them": (OWN, replace(SELF, principal=replace(ALICE, chain=("agent:x",))), rules.DELEGATED),
    "on their behalf in a form": (
        OWN,
        replace(SELF, principal=replace(ALICE, chain=("agent:x",)), channel="elicitation"),
        rules.DELEGATED,
    ),
    "another client's form": (
        OWN,
        replace(SELF, principal=replace(ALICE, client="agent:other"), channel="elicitation"),
        rules.ONLY_OWN,
    ),
    "a form about what was asked for them": (
        replace(OWN, chain=("agent:x",)),
        replace(SELF, channel="elicitation"),
        rules.ONLY_OWN,
    ),
    "declared elsewhere": (OWN, replace(SELF, principal=replace(ALICE, assurance="declared")), rules.DECLARED),
    "a tool of their model": (OWN, replace(SELF, channel="mcp"), rules.NOT_HERE),
    "a form about others' decision": (
        replace(REQUEST, not_requester=False, chain=()),
        replace(SELF, channel="elicitation"),
        rules.ONLY_OWN,
    ),
}


@pytest.mark.holds("approval:confirm-only-own")
@pytest.mark.parametrize("case", NOT_CONFIRMED)
def test_what_is_no_confirmation(case: str) -> None:
    request, decider, why = NOT_CONFIRMED[case]
    assert objection(request, decider) == why


@pytest.mark.holds("approval:confirm")
def test_whoever_asked_confirms_it_in_person() -> None:
    assert objection(OWN, SELF) is None
    assert objection(OWN, replace(SELF, principal=replace(ALICE, client="agent:other"))) is None, "with a token"
    form = replace(SELF, channel="elicitation")
    assert objection(OWN, form) is None
    assert objection(OWN, replace(form, principal=replace(ALICE, assurance="declared"))) is None, "they sit there"
    assert (OWN.needed, OWN.further) == (1, ("role:finance",))


@pytest.mark.holds("approval:bound")
def test_a_binding_changes_with_everything_it_binds() -> None:
    arguments: dict[str, Any] = {"order_id": "ORD-1001", "amount": 800}
    base = ("payments_refund", "f" * 64, ALICE, arguments, "refund-large")
    others: list[tuple[Any, ...]] = [
        ("payments_refunds", *base[1:]),
        (base[0], "e" * 64, *base[2:]),
        (*base[:2], BOB, *base[3:]),
        (*base[:2], replace(ALICE, client="agent:other"), *base[3:]),
        (*base[:2], replace(ALICE, tenant="globex"), *base[3:]),
        (*base[:2], replace(ALICE, chain=("agent:x",)), *base[3:]),
        (*base[:3], {**arguments, "amount": 801}, base[4]),
        (*base[:3], {**arguments, "more": None}, base[4]),
        (*base[:4], "refund-small"),
    ]
    found = {binding(*base), *(binding(*other) for other in others)}
    assert len(found) == 1 + len(others)
    same = binding(*base[:3], {"amount": 800, "order_id": "ORD-1001"}, base[4])
    assert same == binding(*base), "the order of arguments means nothing"


def _agreed(*subjects: str, confirmed: bool = False, escalated: bool = False, **terms: Any) -> Agreed:
    votes = [Vote(subject, "approved", "cli", "token", 1) for subject in subjects]
    return Agreed(replace(REQUEST, **terms), votes, confirmed, escalated)


def _asks(**then: Any) -> AskedNow:
    roles = {"user:bob": {"role:finance"}, "user:dana": {"role:manager"}}
    return AskedNow(Obligations(**{"approvers": REQUEST.approvers, **then}), lambda name: {name, *roles.get(name, ())})


ONLY_THEIRS = ("requester",)
BOSS = Escalation(("role:manager",), 60)
STANDING: dict[str, tuple[AskedNow | None, Agreed, bool]] = {
    "nothing is asked for": (None, _agreed("user:bob"), True),
    "the same is": (_asks(not_requester=True), _agreed("user:bob"), True),
    "a credential's role that may still be asked": (_asks(), _agreed("user:claims"), True),
    "two of them": (_asks(quorum=2), _agreed("user:bob", "user:erin", quorum=1), True),
    "more of them": (_asks(quorum=2), _agreed("user:bob"), False),
    "fewer than were asked": (_asks(), _agreed("user:bob", "user:erin", quorum=2), True),
    "others": (_asks(approvers=("role:manager",)), _agreed("user:bob"), False),
    "others who agreed": (_asks(approvers=("role:manager",)), _agreed("user:dana"), True),
    "two of others, one of whom agreed": (
        _asks(approvers=("role:manager",), quorum=2),
        _agreed("user:bob", "user:dana", quorum=2),
        False,
    ),
    "one less, who did not agree": (_asks(approvers=("role:finance",)), _agreed("user:bob"), True),
    "one less, who did": (_asks(approvers=("role:finance",)), _agreed("user:erin"), False),
    "one less, and nobody knows what a credential said": (
        _asks(approvers=("role:finance",)),
        _agreed("user:claims"),
        False,
    ),
    "not the requester any more": (_asks(not_requester=True), _agreed("user:alice", not_requester=False), False),
    "not whose client took part": (
        _asks(not_requester=True),
        _agreed("service:helper", not_requester=False),
        False,
    ),
    "the requester's word too": (_asks(confirm=True), _agreed("user:bob"), False),
    "the requester's word too, which was given": (_asks(confirm=True), _agreed("user:bob", confirmed=True), True),
    "only the requester's word": (
        _asks(approvers=(), confirm=True),
        _agreed("user:alice", confirmed=True, approvers=ONLY_THEIRS),
        True,
    ),
    "approvers where only the requester was asked": (
        _asks(approvers=("user:alice",)),
        _agreed("user:alice", confirmed=True, approvers=ONLY_THEIRS),
        False,
    ),
    "approvers besides, where only the requester was asked": (
        _asks(confirm=True),
        _agreed("user:alice", confirmed=True, approvers=ONLY_THEIRS),
        False,
    ),
    "only the requester's word, where approvers were asked": (
        _asks(approvers=(), confirm=True),
        _agreed("user:bob"),
        False,
    ),
    "whom it was escalated to": (
        _asks(escalate=BOSS),
        _agreed("user:dana", escalated=True, escalate_to=BOSS.to),
        True,
    ),
    "nobody it is escalated to any more": (
        _asks(),
        _agreed("user:dana", escalated=True, escalate_to=BOSS.to),
        False,
    ),
    "somebody it is escalated to since": (_asks(escalate=BOSS), _agreed("user:dana", approvers=("user:dana",)), False),
}


@pytest.mark.holds("approval:rule-changed")
@pytest.mark.parametrize("case", STANDING)
def test_what_was_agreed_to_stands_as_far_as_it_is_what_is_asked_for_now(case: str) -> None:
    wanted, agreed, expected = STANDING[case]
    assert stands(wanted, agreed) is expected
