"""`policy lint`, complaint by complaint: the words of the requirement, one policy each, with place and hint.

`^` stands in a policy where the complaint has to point.
"""

from collections.abc import Mapping

import pytest

from mcp_guard.policy.advice.schema import Schema
from mcp_guard.policy.who import Profile
from tests.policy.conftest import Files, row
from tests.policy.test_who import Known

SCHEMAS: Mapping[str, Schema] = {
    "payments_refund": {
        "type": "object",
        "properties": {"amount": {"type": "number"}, "note": {"type": "string"}},
        "required": ["amount"],
        "additionalProperties": False,
    },
    "mail_send": {
        "type": "object",
        "properties": {"to": {"type": "array", "items": {"type": "string"}}},
        "required": ["to"],
        "additionalProperties": False,
    },
}
PEOPLE: Mapping[str, Profile] = {
    "user:alice": Known(tenant="acme", attributes={"department": "support"}),
    "user:bob": Known(tenant="acme"),
}
LIST = row(id="list", act="list", tool="*")
ROLES = ("g, user:alice, role:support, acme", "g, user:bob, role:finance, acme", "g, agent:x, role:robots, acme")
DECIDE = row(id="decide", who="role:finance", act="approve", tool="payments_refund")
APPROVAL = {"tool": "payments_refund", "tenant": "acme", "eft": "require_approval"}


def chain(length: int) -> str:
    links = [f"g, role:r{number}, role:r{number + 1}, acme" for number in range(length)]
    return "\n".join([*links[:-1], "^" + links[-1]])


COMPLAINTS: list[tuple[str, str, str, str]] = [
    # (what the requirement calls it, the rows, the code, the hint or how it begins)
    ("unknown role", row(who="^role:suport"), "role_unknown", "did you mean role:support?"),
    ("unknown role", row(via="^role:robot"), "role_unknown", "did you mean role:robots?"),
    ("unknown role", row(when='"role:suport" in ^r.ctx.subject.roles'), "role_unknown", "did you mean role:support?"),
    ("unknown role", row(who="^role:zzz"), "role_unknown", "give it with a g row, or it comes with tokens"),
    ("unknown tool", row(tool="^orders_gt"), "tool_unknown", "did you mean orders_get?"),
    ("unknown tool", row(tool="^refunds_*"), "tool_unknown", "a prefix is compared with names of tools, not with tags"),
    ("unknown tag", row(tool="^risk:hgih"), "tag_unknown", "did you mean risk:high?"),
    ("unknown tag", row(tool="^toolset:mial"), "tag_unknown", "did you mean toolset:mail?"),
    (
        "unknown argument",
        row(tool="payments_refund", when="^r.ctx.args.amuont > 5"),
        "argument_unknown",
        "did you mean amount?",
    ),
    (
        "unknown argument",
        row(tool="payments_refund", when='"nota" in ^r.ctx.args'),
        "argument_unknown",
        "did you mean note?",
    ),
    (
        "unknown attribute",
        row(when='^r.ctx.subject.attributes.departmnt == "x"'),
        "attribute_unknown",
        "did you mean department?",
    ),
    ("unknown field", row(when="^r.ctx.subject.tennant == 'x'"), "condition_field", "did you mean subject.tenant?"),
    ("unknown function", row(when='^witin(r.ctx.args.path, "/srv")'), "condition_function", "did you mean within?"),
    ("unknown function", row(when='^matchs(r.ctx.args.path, "x*")'), "condition_function", "did you mean matches?"),
    (
        "argument types",
        row(tool="payments_refund", when='^r.ctx.args.amount == "5"'),
        "argument_type",
        "compare it with a value of the type",
    ),
    (
        "argument types",
        row(tool="payments_refund", when='"note" in r.ctx.args and ^r.ctx.args.note > 5'),
        "argument_type",
        "compare it with a value",
    ),
    (
        "argument types",
        row(tool="mail_send", when="^r.ctx.args.to > 5"),
        "argument_type",
        "compare it with a value of the type",
    ),
    (
        "optional arguments",
        row(tool="payments_refund", when='^r.ctx.args.note == "x"'),
        "argument_optional",
        'if that is not meant, ask first: "note" in r.ctx.args',
    ),
    (
        "approval without reachable approver",
        row(**APPROVAL, then="^approvers=role:nobody"),
        "approver_unreachable",
        "give somebody one of role:nobody",
    ),
    (
        "approval without reachable approver",
        row(**APPROVAL, then="^approvers=user:alice"),
        "approver_may_not",
        "add a row such as: p,",
    ),
    (
        "approval without reachable approver",
        row(**APPROVAL, then="^approvers=role:finance; quorum=2"),
        "quorum_unreachable",
        "give somebody one of role:finance",
    ),
    (
        "approval with only the requester",
        row(**APPROVAL, who="role:finance", then="^approvers=role:finance; not=requester"),
        "approver_is_requester",
        "give somebody one of role:finance",
    ),
    ("approval without approvers", row(**APPROVAL, then="^-"), "approvers_missing", ""),
    (
        "unreachable rows",
        row(id="a", tool="orders_get") + "\n" + row(id="^b", who="user:alice", tool="orders_get"),
        "row_shadowed",
        "delete the row, or narrow the other one",
    ),
    (
        "unreachable rows",
        row(id="^a", tool="orders_get") + "\n" + row(id="b", tool="orders_*", eft="deny"),
        "row_shadowed",
        "delete the row, or narrow the other one",
    ),
    ("unreachable rows", row(when="^False"), "never_applies", "delete it or turn it into a comment"),
    (
        "role cycles",
        "^g, role:a, role:b, acme\ng, role:b, role:a, acme",
        "role_cycle",
        "remove one of the links of the circle",
    ),
    ("role chains over 9", chain(10), "role_chain", "shorten the chain of roles"),
    ("strings Casbin would rewrite", row(when='^r.ctx.args.note == "hi!"'), "condition_rewritten", ""),
    ("strings Casbin would rewrite", row(when='^r.ctx.args.note == "see r.who"'), "condition_rewritten", ""),
    ("swallowed by Casbin", "^p2" + row()[1:], "row_type", "did you mean p?"),
    ("swallowed by Casbin", row(eft="^Deny"), "effect", "did you mean deny?"),
    ("swallowed by Casbin", "^p, a, *, *, *, call, *, True, allow, why", "column_count", "columns: id, who, via"),
    ("swallowed by Casbin", row(why="one, ^two"), "comma_in_why", "use `;` or a dash"),
    ("swallowed by Casbin", row(tool="^*_get"), "wildcard", "Casbin ignores what follows it"),
    ("swallowed by Casbin", row(who="^alice"), "name", "names start with user: service: agent: or role:"),
]


@pytest.mark.holds("policy:lint-complete")
@pytest.mark.parametrize(("word", "text", "code", "hint"), COMPLAINTS, ids=[f"{c[0]} {c[2]}" for c in COMPLAINTS])
def test_a_complaint_names_place_and_remedy(word: str, text: str, code: str, hint: str, files: Files) -> None:
    before, _, after = text.partition("^")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    rows = [before + after, LIST, DECIDE, *ROLES]
    found = files.lint("\n".join(rows) + "\n", schemas=SCHEMAS, principals=PEOPLE)
    about = [problem for problem in found if problem.code == code]
    assert [(problem.line, problem.column) for problem in about] == [(line, column)], [
        str(problem) for problem in found
    ]
    assert about[0].hint.startswith(hint), about[0].hint
    assert about[0].hint, word
    assert {problem.code for problem in found} == {code}, "and nothing else is said"


@pytest.mark.holds("policy:lint-complete")
@pytest.mark.parametrize(
    ("call", "lists", "named"),
    [
        (row(tool="orders_get"), [], True),
        (row(tool="orders_get"), [row(id="l", act="list", tool="toolset:orders")], False),
        (row(tool="orders_get"), [row(id="l", act="*", tool="*", tenant="acme")], False),
        (row(tool="orders_get"), [row(id="l", act="list", tool="mail_send")], True),
        (row(tool="orders_get"), [row(id="l", act="list", tool="*", eft="deny")], True),
        (row(tool="orders_get", tenant="acme"), [row(id="l", act="list", tool="*", tenant="globex")], True),
        (row(tool="orders_get", eft="deny"), [row(id="l", act="list", tool="mail_send")], False),
        (row(tool="guard:whoami"), [row(id="l", act="list", tool="guard:*")], False),
    ],
)
def test_a_call_nobody_can_list(call: str, lists: list[str], named: bool, files: Files) -> None:
    found = files.lint("\n".join([call, *lists]) + "\n", schemas=SCHEMAS, principals=PEOPLE)
    codes = {problem.code: problem for problem in found}
    assert ("never_listed" in codes) is named
    if named:
        problem = codes["never_listed"]
        assert (problem.severity, problem.line, problem.column) == ("warning", 1, 22 + len(call.split(", ")[4]) - 1)
        assert problem.hint.startswith("add a row with act list")
