"""Every trap of Casbin that was found: what stock does, and how this project does not fall in.

`TRAPS` is the list. Each is held by a test here that shows both sides, or by tests elsewhere that are named and have to
exist. Where a newer Casbin closes a trap, the first side fails here, and the list can become shorter.
"""

import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from casbin import AsyncEnforcer, Enforcer, FastEnforcer
from casbin.util import SimpleEval, key_match

from mcp_guard.model.decision import RULE_DEFAULT
from mcp_guard.policy import stock, view
from mcp_guard.policy.condition import ConditionError, compile_condition
from mcp_guard.policy.explain import near
from tests.policy.conftest import TOOLS, Files, principal, request, row

SOURCES = Path(stock.__file__).parents[1]

TRAPS: Mapping[str, tuple[str, ...]] = {
    "two distributions own the module": ("test_only_the_live_distribution_is_installed",),
    "every row is scanned, with eval for each": (
        "tests.policy.test_index.test_words_that_name_a_tool",
        "tests.policy.test_oracle.test_both_oracles_agree",
    ),
    "AsyncEnforcer.enforce is synchronous": ("test_no_other_enforcer_of_casbin_is_used",),
    "FastEnforcer skips wildcard denies": (
        "test_fast_enforcer_skips_a_wildcard_deny",
        "tests.policy.test_compiled.test_a_wildcard_deny_is_never_skipped",
    ),
    "an enforcer is wrong under threads": ("tests.policy.test_compiled.test_threads_share_a_snapshot",),
    "condition text is spliced": ("test_a_spliced_condition_opens_everything_in_stock",),
    "text literals are rewritten": ("test_text_literals_are_rewritten",),
    "unknown types of rows are dropped": ("test_what_stock_swallows",),
    "misspelt effects are ignored": ("test_what_stock_swallows",),
    "wrong column counts wait for a request": ("test_a_row_of_the_wrong_length_waits_for_its_request",),
    "commas split outside brackets": ("test_a_comma_moves_what_follows",),
    "an argument called items is a method": ("test_an_argument_is_never_a_method",),
    "a condition can change the call": (
        "test_a_condition_can_change_the_call",
        "tests.policy.test_view.test_nothing_can_be_written",
    ),
    "NaN passes neither <= nor >": (
        "test_nan_is_on_no_side_of_a_limit",
        "tests.kit.test_strict_json.test_refuses",
    ),
    "keyMatch ignores what follows the star": ("test_what_follows_a_star_is_ignored",),
    "keyMatch knows nothing of ..": ("test_a_prefix_knows_nothing_of_dots",),
    "functions that can hang": ("test_nothing_that_can_hang_is_offered",),
    "role chains end silently": (
        "test_a_long_chain_of_roles_ends_silently",
        "tests.policy.test_roles.test_nine_links_are_seen_and_ten_are_refused",
    ),
    "users and roles share one namespace": (
        "test_somebody_called_like_a_role_has_it",
        "tests.policy.test_compiled.test_no_role_is_decided_by_name",
    ),
    "every unknown subject is remembered": (
        "test_stock_remembers_every_stranger",
        "tests.policy.test_compiled.test_invented_names_do_not_fill_the_memory",
    ),
    "reloading in place answers wrongly meanwhile": (
        "test_an_enforcer_that_is_reloading_has_no_denials",
        "tests.policy.test_compiled.test_a_reload_makes_another_snapshot",
    ),
    "enforce_ex explains no denial by default": ("test_stock_explains_no_denial_by_default",),
    "arguments are logged": ("tests.policy.test_load.test_stock_casbin_does_not_log",),
}


@pytest.mark.holds("policy:traps")
@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_is_held_by_a_test(trap: str) -> None:
    for named in TRAPS[trap]:
        module, _, function = named.rpartition(".")
        assert inspect.isfunction(getattr(importlib.import_module(module or __name__), function))


def test_no_test_here_is_without_a_trap() -> None:
    here = {name for name, found in globals().items() if name.startswith("test_") and inspect.isfunction(found)}
    named = {name for held in TRAPS.values() for name in held}
    assert here - named == {"test_every_trap_is_held_by_a_test", "test_no_test_here_is_without_a_trap"}


def enforcing(*rows: str) -> Callable[..., Any]:
    """Stock Casbin's answer about a call, as everybody else would ask it: with a plain dict of arguments."""
    enforcer = stock.load("".join(f"{line}\n" for line in rows), TOOLS)

    def enforce(tool: str = "payments_refund", who: str = "user:mallory", **arguments: object) -> Any:
        context = view.of_request(request(tool, arguments), frozenset())
        return enforcer.enforce(who, "agent:x", "acme", "call", tool, context)

    return enforce


def codes(files: Files, *rows: str) -> list[str]:
    return [problem.code for problem in files.refuse("".join(f"{line}\n" for line in rows))]


def test_only_the_live_distribution_is_installed() -> None:
    assert importlib.metadata.version("pycasbin")
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("casbin")


def test_no_other_enforcer_of_casbin_is_used() -> None:
    assert not inspect.iscoroutinefunction(AsyncEnforcer.enforce), "its name promises what it does not do"
    used = {path.name for path in SOURCES.rglob("*.py") if re.search(r"\bcasbin\b", path.read_text(encoding="utf-8"))}
    for path in SOURCES.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(Async|Fast|Synced|Distributed)Enforcer\b", text), path
        assert path.name == "stock.py" or not re.search(r"^\s*(import|from) casbin", text, re.MULTILINE), path
    assert "stock.py" in used


FAST_MODEL = """\
[request_definition]
r = who, tool
[policy_definition]
p = who, tool, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.who == p.who && (p.tool == "*" || r.tool == p.tool)
"""


def test_fast_enforcer_skips_a_wildcard_deny(files: Files, tmp_path: Path) -> None:
    model, rules = tmp_path / "fast.conf", tmp_path / "fast.csv"
    model.write_text(FAST_MODEL, encoding="utf-8")
    rules.write_text("p, user:a, payments_refund, allow\np, user:a, *, deny\n", encoding="utf-8")
    assert not Enforcer(str(model), str(rules)).enforce("user:a", "payments_refund")
    fast = FastEnforcer(str(model), str(rules), cache_key_order=[1])
    assert fast.enforce("user:a", "payments_refund"), "the row about everything is filed under another key"
    snapshot = files.load(row(id="a", tool="payments_refund"), row(id="d", eft="deny"))
    assert snapshot.decide(request()).rule == "d"


def test_a_spliced_condition_opens_everything_in_stock(files: Files) -> None:
    enforcer = stock.load(row(id="a", who="user:alice", when="False") + "\n", TOOLS)
    asked: tuple[object, ...] = ("user:mallory", "agent:x", "acme", "call", "orders_get", {})
    assert not enforcer.enforce(*asked)
    enforcer.enable_auto_save(False)
    enforcer.add_policy("b", "user:alice", "*", "*", "call", "*", "False) or (True", "allow", "-", "why")
    assert enforcer.enforce(*asked), "a stranger, by a row about Alice that says False"
    assert codes(files, row(when="False) or (True")) == ["unbalanced_bracket"]
    with pytest.raises(ConditionError):
        compile_condition("False) or (True")


@pytest.mark.parametrize("literal", ["hi!", "a && b", "a || b", "see r.who", "p.id"])
def test_text_literals_are_rewritten(literal: str, files: Files) -> None:
    when = f'r.ctx.args.note == "{literal}"'
    assert not enforcing(row(when=when))(note=literal), "the row means another text than it says"
    assert codes(files, row(when=when)) == ["condition_rewritten"]


@pytest.mark.parametrize(
    ("swallowed", "code"),
    [
        ("p2, d, *, *, *, call, *, True, deny, -, why", "row_type"),
        ("policy, d, *, *, *, call, *, True, deny, -, why", "row_type"),
        ("P, d, *, *, *, call, *, True, deny, -, why", "row_type"),
        (row(id="d", eft="Deny"), "effect"),
        (row(id="d", eft="denied"), "effect"),
        (row(id="d", eft="block"), "effect"),
    ],
)
def test_what_stock_swallows(swallowed: str, code: str, files: Files) -> None:
    allow = row(id="a")
    assert enforcing(allow, swallowed)(), "a denial somebody wrote denies nothing"
    assert codes(files, allow, swallowed) == [code]


def test_a_row_of_the_wrong_length_waits_for_its_request(files: Files) -> None:
    short = "p, a, *, *, *, call, orders_get, allow, -, why"
    enforce = enforcing(short)
    with pytest.raises(RuntimeError):
        enforce()
    assert codes(files, short) == ["column_count"]


def test_a_comma_moves_what_follows(files: Files) -> None:
    text = row(why="one, two")
    assert stock.rows(stock.load(text + "\n", TOOLS))[0][-2:] == ["one", "two"]
    assert codes(files, text) == ["comma_in_why"]
    inside = row(when='r.ctx.args.country in ("DE", "FR")')
    assert files.load(inside).decide(request(arguments={"country": "FR"})).allowed


def _plainly(text: str, arguments: Mapping[str, object]) -> Any:
    """As stock Casbin evaluates over a plain dict."""

    class Context:
        args = arguments

    return SimpleEval(text, {}).eval({"r_ctx": Context()})


def test_an_argument_is_never_a_method(files: Files) -> None:
    arguments = {"items": 3, "keys": 4}
    assert callable(_plainly("r_ctx.args.items", arguments)), "the method of a dict, not the argument"
    snapshot = files.load(row(when="r.ctx.args.items == 3 and r.ctx.args.keys == 4"))
    assert snapshot.decide(request(arguments=arguments)).allowed
    assert not snapshot.decide(request(arguments={})).allowed


def test_a_condition_can_change_the_call(files: Files) -> None:
    arguments: dict[str, object] = {"amount": 9000}
    assert _plainly('r_ctx.args.pop("amount") > 1', arguments)
    assert arguments == {}, "what is executed is no longer what was asked"
    for call in ('pop("amount")', "clear()", 'update("x")', 'setdefault("a", 1)', 'get("amount")'):
        assert codes(files, row(when=f"r.ctx.args.{call} == 1")) == ["condition_function"]


def test_nan_is_on_no_side_of_a_limit(files: Files) -> None:
    nan = float("nan")
    small = row(id="small", when="r.ctx.args.amount <= 100")
    limit = row(id="limit", when="r.ctx.args.amount > 100", eft="deny")
    assert enforcing(row(id="a"), limit)(amount=nan), "a limit that NaN passes"
    assert files.load(row(id="a"), limit).decide(request(arguments={"amount": nan})).rule == "limit"
    assert files.load(small).decide(request(arguments={"amount": nan})).rule == RULE_DEFAULT


def test_what_follows_a_star_is_ignored(files: Files) -> None:
    assert key_match("payments_refund", "pay*_nothing_else")
    for tool in ("pay*_refund", "*_get", "**", "orders_*_*"):
        assert codes(files, row(tool=tool)) == ["wildcard"]


def test_a_prefix_knows_nothing_of_dots(files: Files) -> None:
    assert key_match("/srv/projects/../../etc/passwd", "/srv/projects/*")
    snapshot = files.load(row(when='within(r.ctx.args.path, "/srv/projects")'))
    assert snapshot.decide(request(arguments={"path": "/srv/projects/a"})).allowed
    assert not snapshot.decide(request(arguments={"path": "/srv/projects/../../etc/passwd"})).allowed


@pytest.mark.parametrize(
    "when",
    [
        'keyMatch2(r.ctx.args.x, "/a/:b")',
        'keyMatch(r.ctx.args.x, "/a/*")',
        'regexMatch(r.ctx.args.x, "(a+)+b")',
        'globMatch(r.ctx.args.x, "**/**/**")',
        'ipMatch(r.ctx.args.x, "10.0.0.0/8")',
        'r.ctx.args.x.replace("a", "aa") == "b"',
        '"a" * 999999999 == r.ctx.args.x',
        "9 ** 9 ** 9 > 1",
    ],
)
def test_nothing_that_can_hang_is_offered(when: str, files: Files) -> None:
    (code,) = codes(files, row(when=when))
    assert code in ("condition_function", "condition_node")


def test_a_long_chain_of_roles_ends_silently(files: Files) -> None:
    links = [f"g, role:r{number}, role:r{number + 1}, acme" for number in range(11)]
    first, allow = "g, user:mallory, role:r0, acme", row(who="role:r11")
    assert not enforcing(allow, first, *links)()
    assert enforcing(row(who="role:r8"), first, *links)()
    assert set(codes(files, allow, first, *links)) == {"role_chain"}


def test_somebody_called_like_a_role_has_it(files: Files) -> None:
    allow = row(who="role:finance")
    assert enforcing(allow)(who="role:finance"), "a name is as good as a membership"
    assert not files.load(allow).decide(request(who=principal("role:finance"))).allowed
    assert codes(files, row(who="finance")) == ["name"], "and no name without a prefix stands in a policy"


def test_stock_remembers_every_stranger() -> None:
    enforcer = stock.load(row(who="role:a") + "\ng, user:a, role:a, acme\n", TOOLS)
    manager = enforcer.get_model()["g"]["g"].rm
    for number in range(50):
        enforcer.enforce(f"user:stranger-{number}", "agent:x", "acme", "call", "orders_get", {})
    assert "user:stranger-0" in repr(_everything(manager))


def _everything(found: object, depth: int = 0) -> object:
    """The inside of an object as plain values."""
    if depth > 6 or not (isinstance(found, dict) or hasattr(found, "__dict__")):
        return found
    items = found if isinstance(found, dict) else vars(found)
    return {repr(key): _everything(value, depth + 1) for key, value in items.items()}


def test_an_enforcer_that_is_reloading_has_no_denials(files: Files) -> None:
    rows = (row(id="a"), row(id="d", tool="payments_refund", eft="deny"))
    files.rules.write_text("".join(f"{line}\n" for line in rows), encoding="utf-8")
    enforcer = stock.load(files.rules.read_text(encoding="utf-8"), TOOLS)
    asked: tuple[object, ...] = ("user:a", "agent:x", "acme", "call", "payments_refund", {})
    assert not enforcer.enforce(*asked)
    enforcer.get_model()["p"]["p"].policy.pop()  # what a load in place has read half of
    assert enforcer.enforce(*asked)
    snapshot = files.load(*rows)
    files.load(rows[0])
    assert snapshot.decide(request()).rule == "d", "whoever holds a snapshot keeps its answers"


def test_stock_explains_no_denial_by_default(files: Files) -> None:
    rows = (row(id="small", when="r.ctx.args.amount <= 100"), row(id="mail", tool="mail_send"))
    enforcer = stock.load("".join(f"{line}\n" for line in rows), TOOLS)
    asked = request(arguments={"amount": 300})
    context = view.of_request(asked, frozenset())
    named = enforcer.enforce_ex("user:a", "agent:x", "acme", "call", "payments_refund", context)
    assert named == (False, []), "nothing says what was missing"
    snapshot = files.load(*rows)
    assert snapshot.decide(asked).rule == RULE_DEFAULT
    assert [(entry["rule"], entry["because"]) for entry in near(snapshot.rules, asked)] == [
        ("small", "the condition is not met: r.ctx.args.amount <= 100")
    ]
