"""A change of policy that is not shown to tighten is named, however it is hidden from questions."""

from collections.abc import Mapping, Sequence

import pytest

from mcp_guard.policy.compiled import Compiled
from mcp_guard.policy.diff import diff
from mcp_guard.policy.tightening import unproven
from tests.policy.conftest import TOOLS, Files, row

LINK = "g, user:alice, role:support, acme"
SMALL = row(id="small", who="role:support", tool="payments_refund", when="r.ctx.args.amount <= 100")
LIMIT = row(id="limit", tool="payments_refund", when="r.ctx.args.amount > 50", eft="deny")
HOURS = 'hours(r.ctx.now, "Sat-Sun 00:00-24:00", "Europe/Berlin")'
WORK = 'hours(r.ctx.now, "Mon-Fri 09:00-17:00", "Europe/Berlin")'


def _ask(name: str, approvers: str, when: str = "True") -> str:
    return row(id=name, tool="mail_send", when=when, eft="require_approval", then=f"approvers={approvers}")


def _new(when: str) -> list[str]:
    return [SMALL, LIMIT, LINK, row(id="x", tool="payments_refund", when=when)]


BASE = [SMALL, LIMIT, LINK]
PLAIN = row(id="all", tool="payments_refund", when=f"{WORK} and r.ctx.args.amount < 9")
OUT = row(id="d", who="role:out", tool="payments_refund", when=HOURS, eft="deny")
HIDES = row(id="h", tool="payments_refund", when=HOURS, then="redact=[/iban]")
Change = tuple[Sequence[str], Sequence[str]]
LOOSER: dict[str, Change] = {
    "on a day nobody asks about": (BASE, _new(HOURS)),
    "for a person no row names": (BASE, _new('r.ctx.subject.id == "user:mallory"')),
    "for an agent no row names": (BASE, _new('r.ctx.client.id == "agent:evil"')),
    "for people with a token": (BASE, _new('r.ctx.subject.assurance == "token"')),
    "for people without a declared identity": (BASE, _new('r.ctx.subject.auth != "local"')),
    "over a delegation": (BASE, _new('"agent:planner" in r.ctx.delegation')),
    "one argument against another": (BASE, _new("r.ctx.args.amount < r.ctx.args.limit")),
    "after sums": (BASE, _new("3100 < r.ctx.args.amount - 5 and r.ctx.args.amount - 5 < 3200")),
    "without an argument": (BASE, _new('"amount" in r.ctx.args and "reason" not in r.ctx.args')),
    "between two numbers": (
        BASE,
        [SMALL, LIMIT.replace("> 50", "> 50 and not (r.ctx.args.amount > 60.2 and r.ctx.args.amount < 60.8)"), LINK],
    ),
    "before a text": (BASE, _new('r.ctx.args.reason < "b"')),
    "with two labels": (BASE, _new('"pii" in r.ctx.seen and "untrusted" in r.ctx.seen and r.ctx.args.amount < 5')),
    "a denial is off on some days": ([LIMIT], [LIMIT.replace("> 50", f"> 50 and {WORK}")]),
    "who decides, on some days": (
        [_ask("a", "role:a", HOURS)],
        [_ask("a", "role:b", HOURS)],
    ),
    "another row says who decides": (
        [_ask("a", "role:a"), _ask("b", "role:b", HOURS)],
        [_ask("b", "role:b", HOURS), _ask("a", "role:a")],
    ),
    "a role that only approvals ask for": (
        [_ask("a", "role:a")],
        [_ask("a", "role:a"), "g, user:mallory, role:a, acme"],
    ),
    "a claimed role is not denied any more": (
        [SMALL, row(id="d", who="role:contractor", tool="payments_refund", eft="deny")],
        [SMALL],
    ),
    "a row that hides something is off on some days": (
        [SMALL, LINK, HIDES],
        [SMALL, LINK, HIDES.replace(HOURS, f"{HOURS} and r.ctx.args.amount < 7")],
    ),
    "a row that hides something is gone": (
        [PLAIN, LINK, HIDES],
        [PLAIN, LINK],
    ),
    "a row that limits is gone": (
        [PLAIN, LINK, HIDES.replace("redact=[/iban]", "rate=1/hour/who")],
        [PLAIN, LINK],
    ),
    "a role that denied on some days": (
        [PLAIN, OUT, "g, user:eve, role:out, acme"],
        [PLAIN, OUT],
    ),
}  # fmt: skip
TIGHTER: dict[str, Change] = {
    "a denial is added": (BASE, [*BASE, row(id="d", tool="payments_refund", eft="deny", when=HOURS)]),
    "a permission is taken away": ([*BASE, PLAIN], BASE),
    "a permission asks for more": ([PLAIN], [PLAIN.replace(WORK, f'{WORK} and r.ctx.subject.auth == "oidc"')]),
    "a denial has one more reason": ([LIMIT], [LIMIT.replace("> 50", f"> 50 or {HOURS}")]),
    "lower limits": (BASE, [SMALL.replace("100", "60"), LIMIT.replace("50", "40"), LINK]),
    "people are asked now": (
        [row(id="all", tool="mail_send")],
        [row(id="all", tool="mail_send"), _ask("a", "role:a", "r.ctx.args.size > 10")],
    ),
    "another reason": ([PLAIN], [PLAIN.replace("because", "since")]),
    "another order of rows that allow": ([PLAIN, *BASE], [*BASE, PLAIN]),
    "a role that only allowed": ([PLAIN.replace("*, *, *", "role:x, *, *", 1), "g, user:eve, role:x, acme"],
                                 [PLAIN.replace("*, *, *", "role:x, *, *", 1)]),
}  # fmt: skip


Tools = Mapping[str, Sequence[str]]


def _found(files: Files, old: Sequence[str], new: Sequence[str], tools: Tools = TOOLS) -> list[str]:
    before = Compiled(files.read("\n".join(old) + "\n"))
    after = Compiled(files.read("\n".join(new) + "\n", tools))
    found = diff(before, after)
    looser = [change.request.tool for change in found.decisions if change.direction == "looser"]
    return [*looser, *unproven(before.rules, after.rules, found)]


@pytest.mark.holds("change:loosening")
@pytest.mark.parametrize("case", LOOSER)
def test_what_no_question_shows_is_named_all_the_same(case: str, files: Files) -> None:
    assert _found(files, *LOOSER[case])


@pytest.mark.holds("change:tightening")
@pytest.mark.parametrize("case", TIGHTER)
def test_what_is_shown_to_tighten_is_not(case: str, files: Files) -> None:
    assert _found(files, *TIGHTER[case]) == []


@pytest.mark.holds("change:loosening")
@pytest.mark.parametrize("when", ["True", HOURS])
def test_a_tool_that_is_new_was_for_nobody_before(when: str, files: Files) -> None:
    rows = [row(id="some", tool="orders_*", when=when)]
    assert _found(files, rows, rows, {**TOOLS, "orders_pay": ()})


@pytest.mark.holds("change:loosening")
def test_tags_that_lead_to_rows_no_question_settles_are_named(files: Files) -> None:
    rows = [row(id="low", tool="risk:low", when=HOURS)]
    assert _found(files, rows, rows, {**TOOLS, "mail_send": ("risk:low",)}) == ["mail_send has other tags"]
    assert _found(files, rows, rows, {**TOOLS, "mail_send": ("risk:medium", "tag:new")}) == []
