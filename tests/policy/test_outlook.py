"""What can be said of a call before its arguments: never more than holds for all of them."""

import operator

import pytest
from hypothesis import HealthCheck, given, settings

from mcp_guard.model.decision import AccessRequest, Effect
from mcp_guard.policy.compiled import Compiled
from mcp_guard.policy.interpreter import Interpreter
from mcp_guard.policy.outlook import Outlook, outlooks
from mcp_guard.policy.snapshot import Snapshot
from tests.policy import strategies
from tests.policy.conftest import MONDAY_NOON, Files, principal, request, row

BIG = "r.ctx.args.amount > 100"


def look(policy: Snapshot, question: AccessRequest) -> Outlook:
    who, tools = question.principal, [question.tool]
    (found,) = outlooks(
        policy, who, question.act, tools, now=question.now, environment=question.environment, seen=question.seen
    )
    return found


@pytest.mark.holds("permissions:true")
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=strategies.policies, question=strategies.requests)
def test_no_arguments_lead_to_anything_else(text: str, question: AccessRequest, module_files: Files) -> None:
    policy = Compiled(module_files.read(text))
    found, decided = look(policy, question), policy.decide(question)
    if found.is_sure:
        assert decided.effect is found.otherwise.effect, found
        return
    possible = {found.otherwise.effect, *(clause.effect for clause in found.clauses)}
    if any(clause.effect is not Effect.ALLOW for clause in found.clauses):
        possible.add(Effect.DENY)
    assert decided.effect in possible, (found, decided)
    assert decided.rule in {found.otherwise.rule, *(clause.rule for clause in found.clauses)} or decided.effect in (
        Effect.ALLOW,
        Effect.REQUIRE_APPROVAL,
    ), "a denial is always announced"


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=strategies.policies, question=strategies.requests)
def test_both_engines_find_the_same_rows(text: str, question: AccessRequest, module_files: Files) -> None:
    rules = module_files.read(text)
    who, act, tool = question.principal, question.act, question.tool
    fast, slow = Compiled(rules).fitting(who, act, tool), Interpreter(rules).fitting(who, act, tool)
    could_apply = [[row for row in rows if row.when.constant is not False] for rows in slow]
    assert [list(rows) for rows in fast] == could_apply


ALLOW = row(id="ok")
CASES = [
    ([row(id="other", tool="mail_send")], "deny guard:default", []),
    ([ALLOW], "allow ok", []),
    ([row(id="small", when="r.ctx.args.amount < 5")], "deny guard:default", ["allow small"]),
    ([ALLOW, row(id="big", when=BIG, eft="deny")], "allow ok", ["deny big"]),
    ([ALLOW, row(id="small", when="r.ctx.args.amount < 5")], "allow ok", []),
    ([row(id="never", eft="deny"), row(id="big", when=BIG)], "deny never", []),
    ([ALLOW, row(id="night", when='hours(r.ctx.now, "Mon 20:00-23:00")', eft="deny")], "allow ok", []),
    ([ALLOW, row(id="broken", when="r.ctx.subject.attributes.level > 3", eft="deny")], "deny broken", []),
    (
        [
            row(id="small", when="r.ctx.args.amount <= 100"),
            row(id="ask", when=BIG, eft="require_approval", then="approvers=role:a"),
            row(id="huge", when="r.ctx.args.amount > 5000", eft="deny"),
        ],
        "deny guard:default",
        ["deny huge", "require_approval ask", "allow small"],
    ),
]


@pytest.mark.parametrize(("rows", "otherwise", "clauses"), CASES, ids=map(str, map(operator.itemgetter(2), CASES)))
def test_outlooks(rows: list[str], otherwise: str, clauses: list[str], files: Files) -> None:
    found = look(files.load(*rows), request())
    assert f"{found.otherwise.effect.value} {found.otherwise.rule}" == otherwise
    assert [f"{clause.effect.value} {clause.rule}" for clause in found.clauses] == clauses
    assert found.is_sure is not bool(clauses)


def test_over_a_delegation_every_hop_counts(files: Files) -> None:
    policy = files.load(row(id="alice", who="user:alice", when=BIG), row(id="hop", who="service:relay"))
    chained = principal(chain=("service:relay",))
    found = look(policy, request(who=chained))
    assert [clause.rule for clause in found.clauses] == ["alice", "hop"]
    stranger = principal(chain=("service:stranger",))
    assert look(policy, request(who=stranger)).is_sure, "who may nothing makes the whole chain may nothing"


@pytest.mark.parametrize("who", ["role:a", "*", "", "alice"])
def test_nobody_may_anything(who: str, files: Files) -> None:
    policy = files.load(row(id="ok"), row(id="open", when=BIG))
    (found,) = outlooks(policy, principal(who), "call", ["orders_get"], now=MONDAY_NOON, environment={})
    assert (found.otherwise.effect, found.is_sure) == ("deny", True)
