"""From one policy to another: what differs in the files, and which decisions are looser or stricter."""

from dataclasses import replace

import pytest

from mcp_guard.model.decision import Decision, Effect, Escalation, Obligations
from mcp_guard.model.principal import Assurance
from mcp_guard.policy.compiled import Compiled
from mcp_guard.policy.diff import Diff, Direction, LinkChange, RowChange, compare, diff
from tests.policy.conftest import TOOLS, Files, request, row

LINK = "g, user:alice, role:support, acme"
SMALL = row(id="small", who="role:support", tool="payments_refund", when="r.ctx.args.amount <= 100")
ASK = row(id="ask", who="role:support", tool="payments_refund", when="r.ctx.args.amount > 100", eft="require_approval",
          then="approvers=role:finance; expires=4h")  # fmt: skip


def compared(files: Files, old: list[str], new: list[str]) -> Diff:
    before = Compiled(files.read("\n".join(old) + "\n"))
    return diff(before, Compiled(files.read("\n".join(new) + "\n")))


def directions(found: Diff) -> list[tuple[str, str, str, str]]:
    return [
        (change.direction, change.request.tool, change.before.rule, change.after.rule) for change in found.decisions
    ]


def test_nothing_changes_where_nothing_differs(files: Files) -> None:
    found = compared(files, [SMALL, ASK, LINK], ["# a comment", ASK, SMALL, LINK])
    assert (found.rows, found.links, found.decisions, found.complete) == ((), (), (), True)


@pytest.mark.holds("policy:diff")
def test_a_moved_limit_is_found_at_its_edge(files: Files) -> None:
    found = compared(files, [SMALL, ASK, LINK], [SMALL.replace("100", "101"), ASK, LINK])
    assert found.rows == (RowChange("changed", "small", 1, ("when",)),)
    assert directions(found) == []  # 101 still has to be approved: approval beats allow
    found = compared(files, [SMALL, ASK, LINK], [SMALL, ASK.replace("> 100", "> 101"), LINK])
    assert directions(found) == [("stricter", "payments_refund", "ask", "guard:default")]
    (change,) = found.decisions
    assert change.request.arguments == {"amount": 101}
    assert change.as_dict()["args"] == {"amount": 101}


@pytest.mark.holds("policy:diff")
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([SMALL, LINK], [SMALL, ASK, LINK], [("looser", "payments_refund", "guard:default", "ask")]),
        ([SMALL, ASK, LINK], [SMALL, LINK], [("stricter", "payments_refund", "ask", "guard:default")]),
        ([SMALL, LINK], [SMALL], [("stricter", "payments_refund", "small", "guard:default")]),
        ([SMALL], [SMALL, LINK], [("looser", "payments_refund", "guard:default", "small")]),
        (
            [SMALL, LINK, "g, role:desk, role:x, acme"],
            [SMALL, LINK, "g, role:desk, role:support, acme"],
            [("looser", "payments_refund", "guard:default", "small")],
        ),
        (
            [row(id="a", via="role:trusted", tool="mail_send"), "g, agent:x, role:y, acme"],
            [row(id="a", via="role:trusted", tool="mail_send"), "g, agent:x, role:trusted, acme"],
            [("looser", "mail_send", "guard:default", "a")],
        ),
        (
            [row(id="a", tool="orders_*")],
            [row(id="a", tool="orders_*"), row(id="d", tool="orders_get", eft="deny", who="user:eve")],
            [("stricter", "orders_get", "a", "d")],
        ),
        ([row(id="a", tool="mail_send")], [row(id="b", tool="mail_send")], []),
        (
            [ASK, LINK],
            [ASK.replace("4h", "8h"), LINK],
            [("looser", "payments_refund", "ask", "ask")],
        ),
    ],
)
def test_decisions_that_change(files: Files, old: list[str], new: list[str], expected: list[object]) -> None:
    found = compared(files, old, new)
    assert directions(found) == expected
    assert found.complete


def test_a_tag_that_moves_changes_decisions(files: Files) -> None:
    text = row(id="low", tool="risk:low") + "\n"
    old = Compiled(files.read(text))
    new = Compiled(files.read(text, {**TOOLS, "mail_send": ("risk:low",)}))
    assert directions(diff(old, new)) == [("looser", "mail_send", "guard:default", "low")]


def test_given_questions_are_asked_and_the_rest_is_bounded(files: Files) -> None:
    old = Compiled(files.read(SMALL + "\n" + LINK + "\n"))
    new = Compiled(files.read(SMALL.replace("100", "50") + "\n" + LINK + "\n"))
    found = diff(old, new, [request(arguments={"amount": 70})], most=0)
    assert (found.asked, found.complete, len(found.decisions)) == (1, False, 1)
    assert found.as_dict()["rows"] == [{"what": "changed", "rule": "small", "line": 1, "columns": ["when"]}]


def test_links_are_compared(files: Files) -> None:
    found = compared(files, [SMALL, LINK], [SMALL, LINK.replace("acme", "globex")])
    assert found.links == (
        LinkChange("removed", "user:alice", "role:support", "acme"),
        LinkChange("added", "user:alice", "role:support", "globex"),
    )


APPROVAL = Obligations(approvers=("role:a",), not_requester=True, quorum=2, expires=60)


def _escalated(to: str, after: int) -> Obligations:
    return replace(APPROVAL, escalate=Escalation((to,), after))


def _assured(assurance: Assurance) -> Obligations:
    return replace(APPROVAL, assurance=assurance)


@pytest.mark.holds("policy:redact-diff")
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (("/a",), (), "looser"),
        ((), ("/a",), "stricter"),
        (("/a",), ("/b",), "looser"),
        (("/a", "/b"), ("/b", "/a"), None),
    ],
)
def test_to_redact_less_is_looser(before: tuple[str, ...], after: tuple[str, ...], expected: Direction | None) -> None:
    decisions = (Decision(Effect.ALLOW, "a", "why", "v", Obligations(redact=places)) for places in (before, after))
    assert compare(*decisions) == expected


@pytest.mark.holds("policy:diff")
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Effect.DENY, Effect.ALLOW, "looser"),
        (Effect.DENY, Effect.REQUIRE_APPROVAL, "looser"),
        (Effect.ALLOW, Effect.REQUIRE_APPROVAL, "stricter"),
        (Effect.ALLOW, Effect.ALLOW, None),
        (APPROVAL, Obligations(("role:a", "role:b"), True, 2, 60), "looser"),
        (APPROVAL, Obligations(("role:b",), True, 2, 60), "looser"),
        (APPROVAL, Obligations(("role:a",), False, 2, 60), "looser"),
        (APPROVAL, Obligations(("role:a",), True, 1, 60), "looser"),
        (APPROVAL, Obligations(("role:a",), True, 3, 60), "stricter"),
        (APPROVAL, Obligations(("role:a",), True, 2, None), "looser"),
        (APPROVAL, Obligations(("role:a",), True, 2, 30), "stricter"),
        (APPROVAL, APPROVAL, None),
        (APPROVAL, _escalated("role:b", 30), "looser"),
        (_escalated("role:b", 30), APPROVAL, "stricter"),
        (_escalated("role:b", 30), _escalated("role:c", 30), "looser"),
        (_escalated("role:b", 30), _escalated("role:b", 20), "looser"),
        (_escalated("role:b", 30), _escalated("role:b", 40), "stricter"),
        (_escalated("role:b", 30), _escalated("role:b", 30), None),
        (APPROVAL, _assured("token"), "stricter"),
        (_assured("signed"), _assured("oidc"), "looser"),
        (_assured("signed"), APPROVAL, "looser"),
        (_assured("oidc"), _assured("oidc"), None),
        (APPROVAL, replace(APPROVAL, confirm=True), "stricter"),
        (replace(APPROVAL, confirm=True), APPROVAL, "looser"),
        (Obligations(("role:a",)), Obligations(confirm=True), "looser"),
        (Obligations(confirm=True), Obligations(("role:a",), confirm=True), "stricter"),
        (Obligations(confirm=True), Obligations(("role:a",)), "looser"),
        (Obligations(rows="own"), Obligations(rows="all"), "looser"),
        (Obligations(rows="all"), Obligations(rows="tenant"), "stricter"),
    ],
)
def test_looser_or_stricter(
    before: Effect | Obligations, after: Effect | Obligations, expected: Direction | None
) -> None:
    def decision(what: Effect | Obligations, rule: str) -> Decision:
        if isinstance(what, Obligations):
            return Decision(Effect.ALLOW if what.rows else Effect.REQUIRE_APPROVAL, rule, "why", "v", what)
        return Decision(what, rule, "why", "v")

    assert compare(decision(before, "a"), decision(after, "b")) == expected
