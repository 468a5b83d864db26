"""Rows against the people there are."""

from collections.abc import Mapping

import pytest

from mcp_guard.policy.who import Profile
from tests.policy.conftest import Files, row
from tests.policy.test_who import Known

PEOPLE: Mapping[str, Profile] = {
    "user:alice": Known(attributes={"department": "support"}),
    "user:bob": Known(keys=("ssh-ed25519 …",)),
    "user:carol": Known(),
    "user:dave": Known(tenant="globex"),
}
LINKS = (
    "g, user:alice, role:support, acme",
    "g, user:bob, role:finance, acme",
    "g, user:carol, role:finance, acme",
    "g, user:bob, role:lead, acme",
    "g, agent:x, role:robots, acme",
)
DECIDE = row(id="decide", act="approve", tool="payments_refund")


def ask(then: str, who: str = "role:support") -> str:
    return row(id="ask", who=who, tenant="acme", tool="payments_refund", eft="require_approval", then=then)


def codes(files: Files, *rows: str) -> list[str]:
    return [problem.code for problem in files.lint("\n".join([*rows, *LINKS]) + "\n", principals=PEOPLE)]


def test_a_role_nobody_has(files: Files) -> None:
    (problem,) = files.lint("\n".join([row(who="role:suport"), *LINKS]) + "\n", principals=PEOPLE)
    assert (problem.code, problem.severity, problem.hint) == ("role_unknown", "warning", "did you mean role:support?")
    assert (problem.line, problem.column) == (1, 7)
    assert codes(files, row(via="role:trusted")) == ["role_unknown"]
    assert codes(files, row(who="role:support", via="role:robots")) == []


def test_an_attribute_nobody_has(files: Files) -> None:
    when = 'r.ctx.subject.attributes.{} == "support"'
    assert codes(files, row(when=when.format("department"))) == []
    found = files.lint("\n".join([row(when=when.format("departmnet")), *LINKS]) + "\n", principals=PEOPLE)
    assert [(problem.code, problem.hint) for problem in found] == [("attribute_unknown", "did you mean department?")]


@pytest.mark.holds("tenants:separate")
def test_reading_every_record_is_said_where_there_are_several_tenants(files: Files) -> None:
    reading = row(id="all", tenant="acme", act="audit", tool="audit:records", then="rows={}")
    everything = "\n".join([reading.format("all"), *LINKS]) + "\n"
    (problem,) = files.lint(everything, principals=PEOPLE)
    assert (problem.code, problem.severity, problem.line) == ("rows_of_every_tenant", "warning", 1)
    assert everything[problem.column - 1 :].startswith("rows=all")
    assert files.lint(everything, principals={"user:alice": Known(tenant="acme")}) == [], "there is one tenant"
    assert codes(files, reading.format("tenant")) == []


@pytest.mark.holds("policy:lint-approvers")
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((ask("approvers=role:finance"), DECIDE), []),
        ((ask("approvers=role:nobody"), DECIDE), ["approver_unreachable"]),
        ((ask("approvers=role:robots"), DECIDE), ["approver_unreachable"]),
        ((ask("approvers=[role:nobody, user:bob]"), DECIDE), []),
        ((ask("approvers=role:finance"),), ["approver_may_not"]),
        ((ask("approvers=role:finance"), row(id="d", act="approve", tool="orders_*")), ["approver_may_not"]),
        ((ask("approvers=role:finance"), row(id="d", act="approve", who="role:support")), ["approver_may_not"]),
        ((ask("approvers=role:finance"), row(id="d", act="approve", tenant="globex")), ["approver_may_not"]),
        ((ask("approvers=role:finance; assurance=signed"), DECIDE), []),
        ((ask("approvers=role:finance; assurance=signed; quorum=2"), DECIDE), ["approver_without_key"]),
        ((ask("approvers=user:carol; assurance=signed"), DECIDE), ["approver_without_key"]),
        ((ask("approvers=user:carol; assurance=token"), DECIDE), []),
        ((ask("approvers=role:finance; quorum=2"), DECIDE), []),
        ((ask("approvers=role:finance; quorum=3"), DECIDE), ["quorum_unreachable"]),
        ((ask("approvers=role:finance; escalate=role:lead/1h"), DECIDE), []),
        ((ask("approvers=role:finance; escalate=role:nobody/1h"), DECIDE), ["escalation_unreachable"]),
        (
            (ask("approvers=role:finance; escalate=user:alice/1h"), DECIDE.replace("*", "role:finance", 1)),
            ["escalation_may_not"],
        ),
        ((ask("approvers=role:lead; not=requester"), DECIDE), []),
        ((ask("approvers=role:lead; not=requester", who="role:finance"), DECIDE), ["approver_is_requester"]),
        ((ask("approvers=role:lead; not=requester", who="*"), DECIDE), ["approver_is_requester"]),
        ((ask("approvers=role:finance; not=requester", who="role:finance"), DECIDE), []),
        ((ask("approvers=role:finance; not=requester; quorum=2", who="role:lead"), DECIDE), ["approver_is_requester"]),
    ],
)
def test_approvals_somebody_can_decide(files: Files, rows: tuple[str, ...], expected: list[str]) -> None:
    assert codes(files, *rows) == expected


CONFIRM = row(id="confirm", who="role:finance", tenant="acme", act="approve", tool="guard:policy")


@pytest.mark.holds("policy:lint-approvers", "change:second-person")
@pytest.mark.parametrize(
    ("rows", "able"),
    [
        ((CONFIRM,), 2),
        ((CONFIRM.replace("role:finance", "role:lead"),), 1),
        ((CONFIRM.replace("role:finance", "role:lead"), row(id="more", who="user:alice", act="approve")), 2),
        ((CONFIRM.replace("acme", "globex"),), 0),
        ((CONFIRM.replace("guard:policy", "payments_refund"),), 0),
        ((CONFIRM.replace("approve", "call"),), 0),
        ((row(id="robots", who="role:robots", act="approve"),), 0),
    ],
)
def test_changes_too_few_people_could_confirm(rows: tuple[str, ...], able: int, files: Files) -> None:
    text = "\n".join([*rows, *LINKS]) + "\n"
    found = files.lint(text, principals=PEOPLE, confirmers=2)
    told = [problem for problem in found if problem.code == "confirmers_unreachable"]
    assert [f"only {able} of those" in problem.message for problem in told] == ([True] if able < 2 else [])
    assert all(problem.severity == "warning" and "guard:policy" in problem.hint for problem in told)
    assert "confirmers_unreachable" not in codes(files, *rows), "without change control nobody has to"
