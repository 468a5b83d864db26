"""Loading: what stock Casbin would drop, ignore or misread refuses to load, with its place and what to do."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.model.decision import Effect
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem
from mcp_guard.policy import stock
from mcp_guard.policy.load import load
from tests.policy.conftest import TOOLS, Files, request, row

GOOD = row(id="good")
APPROVERS = "approvers=role:finance"


def test_a_good_policy_loads(files: Files) -> None:
    snapshot = files.load("# a comment", "", GOOD, "g, user:alice, role:support, acme", "   # indented comment")
    assert [(rule.id, rule.line, rule.effect) for rule in snapshot.rules.rows] == [("good", 3, Effect.ALLOW)]
    assert snapshot.rules.roles.closure("user:alice", "acme") == {"user:alice", "role:support"}


def test_commas_inside_brackets_belong_to_their_column(files: Files) -> None:
    when = 'r.ctx.args.country in ("DE", "FR") and all_domains(r.ctx.args.to, "a.example", "b.example")'
    snapshot = files.load(
        row(when=when, eft="require_approval", then="approvers=[role:a, role:b]", why="see the handbook (2, 3)")
    )
    assert snapshot.rules.rows[0].when.text == when
    assert snapshot.rules.rows[0].then.approvers == ("role:a", "role:b")
    assert snapshot.rules.rows[0].why == "see the handbook (2, 3)"


@pytest.mark.holds("policy:refused-at-load")
@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        # the file
        (b"", "empty", (1, 1)),
        (b"\n\n# nothing\n", "empty", (1, 1)),
        (b"g, user:a, role:b, acme\n", "empty", (1, 1)),
        (b"\x00\x01\x02", "control_character", (1, 1)),
        (b"\x7fELF\x02\x01\x01\x00", "control_character", (1, 1)),
        (b"\xff\xfep\x00,\x00", "encoding", (1, 1)),
        (b"p, a\nb\xc3", "encoding", (2, 1)),
        (b"\xef\xbb\xbf" + GOOD.encode(), "hidden_character", (1, 1)),
        (row(why="all \u202efine") + "\n", "hidden_character", None),
        (row(id="a\u200bb") + "\n", "hidden_character", (1, 5)),
        (GOOD + "\r" + GOOD, "control_character", None),
        (GOOD + "\u2028" + GOOD, "control_character", None),
        (GOOD[: len(GOOD) // 2], "column_count", (1, 1)),
        ("p, a, " + "x" * 9000 + "\n", "row_too_long", (1, 1)),
        # types of rows
        ("p2" + GOOD[1:] + "\n", "row_type", (1, 1)),
        ("P" + GOOD[1:] + "\n", "row_type", (1, 1)),
        (f"  q{GOOD[1:]}\n", "row_type", (1, 3)),
        ("policy" + GOOD[1:] + "\n", "row_type", (1, 1)),
        (f"{GOOD}\ng2, orders_get, risk:low\n", "tags_in_policy", (2, 1)),
        (f"{GOOD}\n, a\n", "row_type", (2, 1)),
        # columns
        (GOOD + ", more, and more\n", "comma_in_why", (1, 53)),
        ("p, a, *, *, *, call, *, allow, -, why\n", "column_count", (1, 1)),
        ("p\n", "column_count", (1, 1)),
        (row(why="smile :)") + "\n", "unbalanced_bracket", None),
        (row(why="(open") + "\n", "unbalanced_bracket", None),
        (row(why="(mixed]") + "\n", "unbalanced_bracket", None),
        (row(when='matches(r.ctx.args.x, "a(b")') + "\n", "unbalanced_bracket", None),
        (f"{GOOD}\n{GOOD}\n", "duplicate_id", (2, 4)),
        (row(id="guard:default") + "\n", "reserved_id", (1, 4)),
        (row(id="guard:mine") + "\n", "reserved_id", (1, 4)),
        (row(id="") + "\n", "row_id", (1, 4)),
        (row(id="a b") + "\n", "row_id", (1, 4)),
        (row(id="*") + "\n", "row_id", (1, 4)),
        (row(who="alice") + "\n", "name", (1, 7)),
        (row(who="") + "\n", "name", (1, 7)),
        (row(who="user: alice") + "\n", "name", (1, 7)),
        (row(who="role:*") + "\n", "wildcard", (1, 7)),
        (row(via="local") + "\n", "name", (1, 10)),
        (row(via="user:alice") + "\n", "name", (1, 10)),
        (row(via="agent:*") + "\n", "wildcard", (1, 10)),
        (row(tenant="ac me") + "\n", "name", (1, 13)),
        (row(tenant="acme*") + "\n", "wildcard", (1, 13)),
        (row(act="cal") + "\n", "act", (1, 16)),
        (row(act="call|list") + "\n", "act", (1, 16)),
        (row(tool="order_get") + "\n", "tool_unknown", (1, 22)),
        (row(tool="risk:hihg") + "\n", "tag_unknown", (1, 22)),
        (row(tool="risk:*") + "\n", "tool_unknown", (1, 22)),
        (row(tool="refunds_*") + "\n", "tool_unknown", (1, 22)),
        (row(tool="*_get") + "\n", "wildcard", (1, 22)),
        (row(tool="orders_*t") + "\n", "wildcard", (1, 22)),
        (row(tool="**") + "\n", "wildcard", (1, 22)),
        (row(eft="alow") + "\n", "effect", None),
        (row(eft="Deny") + "\n", "effect", None),
        (row(eft="") + "\n", "effect", None),
        (row(why="") + "\n", "why_missing", None),
        (row(why="-") + "\n", "why_missing", None),
        # conditions
        (row(when="true") + "\n", "condition_name", (1, 25)),
        (row(when="TRUE") + "\n", "condition_name", (1, 25)),
        (row(when="") + "\n", "condition_syntax", (1, 25)),
        (row(when="False) or (True") + "\n", "unbalanced_bracket", (1, 30)),
        (row(when="1 < 2 and r.ctx.arg == 1") + "\n", "condition_field", (1, 35)),
        (row(when="r.ctx.args.__class__ == 1") + "\n", "condition_name", (1, 25)),
        (row(when="r.ctx.approval.by == 'x'") + "\n", "unsupported", (1, 25)),
        (row(when="r.ctx.spent.usd > 1") + "\n", "condition_field", (1, 25)),
        (row(act="approve", when="r.ctx.spent.usd_today > 1") + "\n", "spent_act", (1, 28)),
        (row(act="*", when="r.ctx.spent.usd_today > 1") + "\n", "spent_act", (1, 22)),
        (row(when='r.ctx.args.x == "a!"') + "\n", "condition_rewritten", (1, 25)),
        (row(act="list", when="r.ctx.args.x == 1") + "\n", "list_arguments", (1, 25)),
        (row(act="*", when="r.ctx.args.x == 1") + "\n", "list_arguments", (1, 22)),
        # obligations
        (row(then="redact=[a]") + "\n", "obligation_value", (1, 38)),
        (row(act="list", then="budget=1usd/day/who") + "\n", "obligation_effect", (1, 38)),
        (row(then=APPROVERS) + "\n", "obligation_effect", (1, 38)),
        (row(eft="require_approval") + "\n", "approvers_missing", None),
        (row(eft="require_approval", act="list", then=APPROVERS) + "\n", "approval_act", None),
        # roles
        (f"{GOOD}\ng, user:a, role:b\n", "column_count", (2, 1)),
        (f"{GOOD}\ng, user:a, role:b, acme, more\n", "column_count", (2, 1)),
        (f"{GOOD}\ng, alice, role:b, acme\n", "name", (2, 4)),
        (f"{GOOD}\ng, user:a, support, acme\n", "name", (2, 12)),
        (f"{GOOD}\ng, user:a, user:b, acme\n", "name", (2, 12)),
        (f"{GOOD}\ng, user:a, role:b, *\n", "wildcard", (2, 20)),
        (f"{GOOD}\ng, *, role:b, acme\n", "wildcard", (2, 4)),
        (f"{GOOD}\ng, role:a, role:a, acme\n", "role_cycle", (2, 1)),
        (f"{GOOD}\ng, role:a, role:b, acme\ng, role:b, role:a, acme\n", "role_cycle", (2, 1)),
        (GOOD + "".join(f"\ng, role:r{i}, role:r{i + 1}, acme" for i in range(10)), "role_chain", (11, 1)),
    ],
)
def test_refused(files: Files, text: str | bytes, code: str, place: tuple[int, int] | None) -> None:
    problems = files.refuse(text)
    first = problems[0]
    assert first.code == code, [str(problem) for problem in problems]
    assert first.file == "policy.csv"
    assert first.line >= 1
    assert first.column >= 1
    assert first.hint
    assert place is None or (first.line, first.column) == place


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (row(eft="alow"), "did you mean allow?"),
        (row(eft="require-approval"), "did you mean require_approval?"),
        (row(act="aproove"), "did you mean approve?"),
        (row(tool="order_get"), "did you mean orders_get?"),
        (row(tool="risk:hihg"), "did you mean risk:high?"),
        (row(when="true"), "did you mean True?"),
        (row(eft="require_approval", then="aprovers=role:a"), "did you mean approvers?"),
    ],
)
def test_a_close_name_is_suggested(files: Files, text: str, hint: str) -> None:
    assert files.refuse(text + "\n")[0].hint == hint


def test_all_problems_are_reported_at_once(files: Files) -> None:
    text = (
        "\n".join([row(eft="alow", who="alice"), row(id="guard:x"), "g, user:a, role:b", row(id="ok", when="x")]) + "\n"
    )
    found = [(problem.line, problem.code) for problem in files.refuse(text)]
    assert found == [(1, "name"), (1, "effect"), (2, "reserved_id"), (3, "column_count"), (4, "condition_name")]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (GOOD, "no_final_newline", 1),
        (row(when="False") + "\n", "never_applies", 1),
        (f"{GOOD}\ng, user:a, role:b, acme\ng, user:a, role:b, acme\n", "duplicate_link", 3),
    ],
)
def test_warnings_do_not_refuse(files: Files, text: str, code: str, line: int) -> None:
    found = files.lint(text)
    assert [(problem.code, problem.severity, problem.line) for problem in found] == [(code, "warning", line)]
    load(files.model, files.rules, TOOLS)


def test_a_good_policy_has_no_problems(files: Files) -> None:
    assert files.lint(GOOD + "\n") == []


def test_every_tool_tag_and_resource_can_be_named(files: Files) -> None:
    named = ["orders_get", "risk:high", "toolset:mail", "orders_*", "*", "audit:records", "guard:whoami", "guard:*"]
    snapshot = files.load(*(row(id=f"r{index}", tool=tool) for index, tool in enumerate(named)))
    assert [rule.tool for rule in snapshot.rules.rows] == named


def test_the_text_of_an_argument_or_secret_is_not_repeated(files: Files) -> None:
    """A misplaced secret in a row must not travel through logs in an error message."""
    secret = "sk-1234567890"
    texts = [
        row(who=secret),
        row(tool=secret),
        row(when=f'"{secret}"'),
        row(then=f"approvers={secret}"),
        row(eft=secret),
    ]
    for text in texts:
        assert all(secret not in str(problem) for problem in files.refuse(text + "\n"))


@pytest.mark.holds("policy:refused-at-load")
@given(st.binary(max_size=60) | st.text(alphabet='pg,*:-=()[]"\n alowdeny', max_size=80).map(str.encode))
@settings(deadline=None, max_examples=150)
def test_any_bytes_load_or_are_refused(module_files: Files, data: bytes) -> None:
    module_files.rules.write_bytes(data)
    with pytest.raises(Invalid):
        load(module_files.model, module_files.rules, TOOLS)


@given(st.integers(0, 400), st.sampled_from(["", ",", "(", ")", "\u202e", "*", '"', "\n", "!", "\\", " "]))
@settings(deadline=None, max_examples=150)
def test_a_damaged_policy_is_refused_or_still_what_stock_casbin_reads(module_files: Files, at: int, put: str) -> None:
    text = "\n".join([
        row(id="a", who="role:support", tenant="acme", when='0 < r.ctx.args.amount and r.ctx.args.kind in ("a", "b")'),
        row(id="b", tool="payments_refund", eft="require_approval", then="approvers=role:finance; not=requester"),
        "g, user:alice, role:support, acme",
    ]) + "\n"  # fmt: skip
    damaged = text[:at] + put + text[at + 1 :]
    module_files.rules.write_text(damaged, encoding="utf-8", newline="")
    try:
        snapshot = load(module_files.model, module_files.rules, TOOLS)
    except Invalid:
        return
    enforcer = stock.load(damaged, TOOLS)
    assert [rule.id for rule in snapshot.rules.rows] == [values[0] for values in stock.rows(enforcer)]
    assert [rule.when.text for rule in snapshot.rules.rows] == [values[6] for values in stock.rows(enforcer)]


# --- stock Casbin is asked, and believed only where it agrees ---------------------------------------------------------


@pytest.mark.holds("policy:casbin-agrees")
@pytest.mark.parametrize(
    ("broken", "replacement"),
    [
        ("rows", lambda _: [["other"] * 10]),
        ("rows", lambda _: []),
        ("links", lambda _: [["user:a", "role:b", "acme"]]),
        ("tagged", lambda _: set()),
    ],
)
def test_a_difference_to_stock_casbin_is_an_error(
    files: Files, monkeypatch: pytest.MonkeyPatch, broken: str, replacement: Callable[[object], object]
) -> None:
    monkeypatch.setattr(stock, broken, replacement)
    assert [problem.code for problem in files.refuse(GOOD + "\n")] == ["casbin_differs"]


def test_what_stock_casbin_cannot_load_is_an_error(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> object:
        raise RuntimeError("a secret")

    monkeypatch.setattr(stock, "load", fail)
    (problem,) = files.refuse(GOOD + "\n")
    assert problem == Problem(
        "casbin_differs", "stock Casbin cannot load this file", "policy.csv", hint="write the row more plainly"
    )


def test_stock_casbin_does_not_log(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        files.load(GOOD)
        stock.load(GOOD, TOOLS).enforce("user:a", "agent:a", "acme", "call", "orders_get", {"secret": "s3cret"})
    assert not [record for record in caplog.records if record.name.startswith("casbin")]


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.holds("policy:version")
def test_the_version_is_of_model_rules_and_tags(files: Files) -> None:
    first = files.load(GOOD)
    assert len(first.version) == 64
    assert files.load(GOOD).version == first.version
    shuffled = {tool: tuple(reversed(tags)) for tool, tags in reversed(list(TOOLS.items()))}
    assert files.load(GOOD, tools=shuffled).version == first.version
    assert files.load(GOOD, "# comment").version != first.version
    assert files.load(GOOD, tools={**TOOLS, "more": ()}).version != first.version
    assert files.load(GOOD, tools={**TOOLS, "orders_get": ("risk:low",)}).version != first.version
    files.model.write_text(files.model.read_text(encoding="utf-8") + "# comment\n", encoding="utf-8")
    assert files.load(GOOD).version != first.version


@pytest.mark.holds("policy:version")
def test_every_decision_carries_it(files: Files) -> None:
    snapshot = files.load(GOOD)
    assert snapshot.decide(request()).policy == snapshot.version


@pytest.mark.holds("policy:unsupported-refused")
def test_what_this_version_does_not_enforce_is_refused(files: Files) -> None:
    (problem,) = files.lint(row(when="r.ctx.approval.by == 'x'") + "\n")
    assert (problem.code, problem.severity) == ("unsupported", "error")
