"""`mcp-guard policy explain` and `policy replay`, on a home in which things happened."""

import json
import re
import shlex
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.admin.replay import REASONS
from mcp_guard.cli.root import run
from mcp_guard.demo.home import SANDBOX_PORT, copy_home, seed
from tests.cli.conftest import Guard, Ran, change

CANARY = "canary-the-customer-said"
MAIL = {"to": ["eve@evil.test"], "subject": "hello", "body": CANARY, "justification": "told to"}
CALLS: Sequence[tuple[int, Sequence[str]]] = (
    (0, ("call", "orders_get", "order_id=ORD-1001")),
    (5, ("call", "payments_refund", "order_id=ORD-1002", "amount=9000", f"reason={CANARY}")),
    (6, ("call", "payments_refund", "order_id=ORD-1002", "amount=800")),
    (5, ("call", "mail_send", "--args", json.dumps(MAIL))),
    (5, ("call", "customers_delete", "customer_id=C-1")),
    (5, ("call", "no_such_tool")),
    (3, ("call", "payments_refund", "amount=40")),
    (0, ("call", "payments_refund", "order_id=ORD-1002", "amount=40", "--dry-run")),
    (0, ("freeze", "--tool", "orders_search", "--reason", "broken")),
    (5, ("call", "orders_search", "customer=Ada")),
    (5, ("call", "customers_delete", "customer_id=C-1", "--as", "user:mallory")),
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, payments_secret: str) -> Path:
    """Nine decisions: eight in the normal course and one of a freeze; one call that was never decided."""
    home = copy_home(tmp_path_factory.mktemp("explained") / "desk", SANDBOX_PORT)
    seed(home, payments_secret)
    ended = [run(["--home", str(home), "--json", *call]) for _, call in CALLS]
    assert ended == [status for status, _ in CALLS]
    return home


@pytest.fixture
def home(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "desk"))


@pytest.fixture
def history(home: Path, run_here: Guard) -> Guard:
    return lambda *arguments: run_here("--home", str(home), *arguments)


def of_tool(history: Guard, tool: str) -> list[Any]:
    """The records of a tool, oldest first."""
    return list(reversed(history("--json", "audit", "query", "--tool", tool).json["records"]))


def execute(home: Path, sql: str, *parameters: object) -> None:
    with closing(sqlite3.connect(home / "var" / "guard.db", isolation_level=None)) as store:
        store.execute(sql, parameters)


def other_rules(home: Path, old: str, new: str) -> str:
    path = home / "policy" / "new.csv"
    shutil.copy(home / "policy" / "policy.csv", path)
    change(path, old, new)
    return str(path)


def add_row(home: Path, row: str) -> None:
    change(home / "policy" / "policy.csv", "# --- mail", f"{row}\n# --- mail")


# --- questions --------------------------------------------------------------------------------------------------------


@pytest.mark.holds("policy:explain")
def test_the_shape_of_a_question(guard: Guard) -> None:
    ran = guard("--json", "policy", "explain", "user:alice", "payments_refund", '{"order_id": "ORD-1", "amount": 800}')
    assert ran.status == 0
    assert list(ran.json) == ["effect", "rule", "reason", "then", "policy", "act", "hops"]
    (hop,) = ran.json["hops"]
    assert list(hop) == ["who", "effect", "rule", "rows", "near"]
    small, large, limit, _ = hop["rows"]
    assert list(large) == ["rule", "line", "effect", "outcome", "decides", "condition", "values", "then"]
    assert (large["rule"], large["outcome"], large["decides"]) == ("refund-large", "applied", True)
    assert small["values"] == limit["values"] == [{"field": "r.ctx.args.amount", "value": 800}]
    assert list(hop["near"][0]) == ["rule", "line", "effect", "because", "condition", "values"]


@pytest.mark.holds("policy:explain")
def test_a_delegation_hop_by_hop(guard: Guard) -> None:
    chain = ("--chain", "agent:planner", "--chain", "user:bob")
    found = guard("--json", "policy", "explain", "user:alice", "orders_get", *chain).json
    assert [hop["who"] for hop in found["hops"]] == ["user:alice", "agent:planner", "user:bob"]
    assert [hop["effect"] for hop in found["hops"]] == ["allow", "deny", "allow"]
    assert (found["effect"], found["act"]) == ("deny", "list")
    text = guard("policy", "explain", "user:alice", "orders_get", *chain).out
    assert "near: support-sees-orders (line 5, allow): agent:planner is not role:support" in text


@pytest.mark.holds("policy:explain-stock")
def test_stock_casbins_own_answer(guard: Guard) -> None:
    asked = ("policy", "explain", "user:alice", "payments_refund", "--stock")
    found = guard("--json", *asked, '{"amount": 800}').json["stock"]
    assert list(found) == ["effect", "agrees", "notes"]
    assert (found["effect"], found["agrees"], len(found["notes"])) == ("deny", True, 1)
    assert "stock Casbin: allow (the same)" in guard(*asked, '{"amount": 40}').out
    failing = guard(*asked, '{"amount": "canary"}').out
    assert "stock Casbin: raises an error (another answer)" in failing


@pytest.mark.holds("policy:explain-hides")
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_sensitive_arguments_are_stars(more: tuple[str, ...], home: Path, history: Guard) -> None:
    add_row(home, 'p, by-reason, *, *, *, call, payments_refund, r.ctx.args.reason == "x", deny, -, no')
    arguments = json.dumps({"order_id": "ORD-1002", "amount": 40, "reason": CANARY})
    ran = history("policy", "explain", "user:alice", "payments_refund", arguments, *more)
    assert "***" in ran.out
    assert CANARY not in ran.out + ran.err


@pytest.mark.holds("policy:explain-hides")
def test_a_question_leaves_no_trace(home: Path, history: Guard) -> None:
    before = (home / "var" / "guard.db").read_bytes()
    history("policy", "explain", "user:alice", "orders_get", "--stock")
    history("policy", "explain", "0", "--stock")
    history("policy", "replay", "--since", "1h")
    assert (home / "var" / "guard.db").read_bytes() == before


def test_what_comes_before_the_rules_is_said(guard: Guard, desk: Any) -> None:
    change(desk.home / "policy" / "principals.yaml", "payments:refund, ", "")
    ran = guard("policy", "explain", "user:alice", "payments_refund", '{"order_id": "ORD-1002", "amount": 40}')
    assert ran.out.startswith("deny by guard:scope")
    assert "decided before the rules are asked; they would say:\nuser:alice: allow by refund-small" in ran.out


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ((), 2),
        (("user:alice",), 2),
        (("alice", "orders_get"), 2),
        (("user:alice", "orders_get", "{", "{"), 2),
        (("user:alice", "orders_get", "{"), 2),
        (("user:alice", "orders_get", "{}", "--chain", "role:x"), 2),
        (("user:alice", "orders_gett"), 5),
        (("0" * 31,), 2),
        (("0" * 32,), 2),
        (("9999",), 2),
        (("0" * 16,), 2),
        (("../0",), 2),
        (("0", "--client", "agent:x"), 2),
        (("0", "--chain", "agent:x"), 2),
    ],
)
def test_what_is_neither(question: tuple[str, ...], status: int, history: Guard) -> None:
    assert history("--json", "policy", "explain", *question).status == status


def test_without_a_store_there_is_nothing_on_record(guard: Guard) -> None:
    assert guard("--json", "policy", "explain", "0").status == 8
    assert guard("--json", "policy", "replay", "--since", "1h").status == 8


# --- calls on record --------------------------------------------------------------------------------------------------


@pytest.mark.holds("policy:explain-recorded")
def test_the_shape_of_a_call(history: Guard) -> None:
    limited, large, *_ = of_tool(history, "payments_refund")
    found = history("--json", "policy", "explain", limited["call"]).json
    assert list(found) == [
        "call", "n", "time", "tool", "recorded", "ended", "inputs", "now", "not_asked", "change",
    ]  # fmt: skip
    assert found["recorded"]["rule"] == found["now"]["rule"] == "refund-limit"
    assert found["ended"] == {"status": "refused", "code": "policy_denied", "executed": "no"}
    assert found["inputs"]["args"] == {
        "amount": 9000,
        "order_id": "ORD-1002",
        "reason": "***",
        "requested_by": "user:alice",
    }
    assert found["inputs"]["attributes"] == {"department": "support"}
    assert (found["not_asked"], found["change"]) == (None, None)
    assert history("--json", "policy", "explain", str(limited["_n"])).json == found
    assert CANARY not in json.dumps(found)
    text = history("policy", "explain", large["call"], "--stock").out
    assert "then: require_approval by refund-large" in text
    assert "now: require_approval by refund-large" in text
    assert "the same; nothing changes" in text
    assert "stock Casbin: deny (the same)" in text


@pytest.mark.holds("policy:explain-recorded")
def test_the_policy_in_force_may_say_something_else_today(home: Path, history: Guard) -> None:
    change(home / "policy" / "policy.csv", "r.ctx.args.amount > 5000", "r.ctx.args.amount > 50000")
    change(home / "policy" / "policy.csv", "r.ctx.args.amount <= 5000", "r.ctx.args.amount <= 50000")
    limited, *_ = of_tool(history, "payments_refund")
    found = history("--json", "policy", "explain", limited["call"]).json
    assert (found["recorded"]["rule"], found["now"]["rule"], found["change"]) == (
        "refund-limit",
        "refund-large",
        "looser",
    )
    assert found["recorded"]["policy"] != found["now"]["policy"]
    assert "another; looser" in history("policy", "explain", limited["call"]).out


@pytest.mark.holds("policy:explain-recorded", "policy:explain-hides")
def test_what_cannot_be_asked_again_says_why(home: Path, history: Guard) -> None:
    limited, *_ = of_tool(history, "payments_refund")
    rules = home / "policy" / "policy.csv"
    change(
        rules,
        "# --- mail",
        'p, by-reason, *, *, *, call, payments_refund, r.ctx.args.reason == "x", deny, -, no\n# --- mail',
    )
    found = history("--json", "policy", "explain", limited["call"]).json
    assert (found["now"], found["not_asked"]) == (None, "unknown_value")
    execute(home, "DELETE FROM side WHERE n = ?", limited["_n"])
    found = history("--json", "policy", "explain", limited["call"]).json
    assert (found["inputs"], found["now"], found["not_asked"]) == (None, None, "erased")
    assert found["recorded"]["rule"] == "refund-limit"
    assert "cannot be asked: its inputs were erased" in history("policy", "explain", limited["call"]).out


@pytest.mark.holds("policy:explain-recorded")
def test_a_frozen_call_shows_what_policy_would_say(history: Guard) -> None:
    (frozen,) = of_tool(history, "orders_search")
    found = history("--json", "policy", "explain", frozen["call"]).json
    assert (found["recorded"]["rule"], found["now"]["rule"]) == ("guard:frozen", "support-reads-orders")


def test_a_call_that_was_never_decided(history: Guard) -> None:
    invalid = next(record for record in of_tool(history, "payments_refund") if record.get("code") == "args_invalid")
    ran = history("--json", "policy", "explain", invalid["call"])
    assert (ran.status, ran.error["code"]) == (2, "usage")


# --- the page that teaches it ---------------------------------------------------------------------------------------


def documented() -> list[list[str]]:
    page = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]


@pytest.mark.holds("policy:documented")
@pytest.mark.parametrize("command", documented(), ids=" ".join)
def test_every_command_on_the_page_works(
    command: list[str], home: Path, history: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    shutil.copy(home / "policy" / "policy.csv", home / "new.csv")
    program, *arguments = command
    assert program == "mcp-guard"
    assert history(*arguments).status == 0


def test_every_reason_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
    assert all(f"`{reason}`" in page for reason in REASONS)


# --- replay -----------------------------------------------------------------------------------------------------------


@pytest.mark.holds("policy:replay")
def test_the_policy_in_force_changes_nothing(history: Guard) -> None:
    ran = history("--json", "policy", "replay", "--since", "1h")
    assert ran.status == 0
    assert list(ran.json) == ["policy", "decisions", "replayed", "changes", "not_replayed"]
    assert (ran.json["decisions"], ran.json["replayed"], ran.json["changes"]) == (9, 7, [])
    assert ran.json["not_replayed"] == {"frozen": 1, "unknown_tool": 1}
    text = history("policy", "replay", "--since", "1h")
    assert text.out == ""
    assert "7 of 9 decisions replayed; nothing changes" in text.err
    assert "1 not replayed: an operator had frozen it" in text.err


@pytest.mark.holds("policy:replay")
def test_a_looser_policy_is_named_and_exits_4(home: Path, history: Guard) -> None:
    rules = other_rules(home, "r.ctx.args.amount <= 100,", "r.ctx.args.amount <= 1000,")
    change(Path(rules), "100 < r.ctx.args.amount and", "1000 < r.ctx.args.amount and")
    ran = history("--json", "policy", "replay", "--since", "1h", "--rules", rules)
    assert ran.status == 4
    (looser,) = ran.json["changes"]
    assert list(looser) == ["direction", "tool", "before", "after", "count", "example"]
    assert (looser["direction"], looser["count"], looser["after"]["rule"]) == ("looser", 1, "refund-small")
    assert looser["example"] == of_tool(history, "payments_refund")[1]["call"]
    table = history("policy", "replay", "--since", "1h", "--rules", rules).out
    assert "require_approval by refund-large" in table


@pytest.mark.holds("policy:replay")
def test_a_stricter_policy_exits_0(home: Path, history: Guard) -> None:
    rules = other_rules(home, "p, support-sees-payments", "#")
    ran = history("--json", "policy", "replay", "--since", "1h", "--rules", rules)
    assert ran.status == 0
    assert {one["direction"] for one in ran.json["changes"]} == {"stricter"}
    assert (
        history("--json", "policy", "replay", "--since", "1h", "--until", "1h", "--rules", rules).json["decisions"] == 0
    )


@pytest.mark.holds("policy:replay")
def test_other_principals(home: Path, history: Guard) -> None:
    add_row(home, "p, lab, *, *, *, call, orders_get, r.ctx.subject.attributes.department == 'lab', deny, -, no")
    people = home / "policy" / "new.yaml"
    shutil.copy(home / "policy" / "principals.yaml", people)
    change(people, "department: support", "department: lab")
    ran = history("--json", "policy", "replay", "--since", "1h", "--principals", str(people))
    assert [one["after"]["rule"] for one in ran.json["changes"]] == ["lab"]


@pytest.mark.holds("policy:replay-honest", "policy:explain-hides")
def test_a_crafted_log_breaks_nothing_and_shows_nothing(home: Path, history: Guard) -> None:
    """Whoever holds the file can write what they like: it is counted, and stands in no output."""
    commitment = {"c": "0", "len": 1}
    decision = {"effect": "allow", "rule": "__import__('os')", "reason": "x", "policy": "p"}
    record = json.dumps(
        {
            **{"_n": 900, "_p": "", "_t": 2**60, "v": 1, "kind": "intent", "boot": "b"},
            **{"call": CANARY, "tool": "orders_get", "actor": {"sub": CANARY}},
            **{"decision": decision, "ctx": commitment, "args": commitment},
        }
    )
    last = of_tool(history, "customers_delete")[-1]["_n"]
    for number, line in enumerate((record, record.replace('"tool"', '"other"'), "{}", "no json"), last + 1):
        execute(home, "INSERT INTO log (n, line) VALUES (?, ?)", number, line)
    execute(home, "INSERT INTO side (n, fields) VALUES (?, ?)", last + 1, b"\xff" * 40)
    ran = history("--json", "policy", "replay", "--since", "1h")
    assert ran.status == 0
    assert ran.json["not_replayed"] == {"erased": 1, "frozen": 1, "unknown_tool": 1, "unreadable": 2}
    assert CANARY not in ran.out + ran.err
    for number in (last + 1, last + 2, last + 4):
        assert history("--json", "policy", "explain", str(number)).error["code"] == "audit_broken"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ((), 2),
        (("--since", "yesterday"), 2),
        (("--since", "1h", "--rules", "missing.csv"), 2),
        (("--since", "1h", "--principals", "missing.yaml"), 2),
    ],
)
def test_replays_that_are_none(options: tuple[str, ...], status: int, history: Guard) -> None:
    assert history("--json", "policy", "replay", *options).status == status


def test_rules_that_do_not_load_are_not_replayed(home: Path, history: Guard) -> None:
    rules = other_rules(home, "r.ctx.args.amount > 5000", "r.ctx.args.amount > (")
    ran: Ran = history("--json", "policy", "replay", "--since", "1h", "--rules", rules)
    assert (ran.status, ran.error["code"]) == (3, "invalid")


@pytest.mark.holds("policy:spent")
def test_what_was_spent_is_part_of_a_question(guard: Guard) -> None:
    asked = ("user:alice", "payments_refund", '{"order_id": "ORD-1", "amount": 5}')

    def rule(*more: str) -> object:
        found = guard("--json", "policy", "check", *asked, *more).json
        explained = guard("--json", "policy", "explain", *asked, *more).json
        assert explained["rule"] == found["rule"]
        return found["rule"]

    assert rule() == rule("--spent", "usd_today=1999.5") == rule("--spent", "usd_month=5000") == "refund-small"
    assert rule("--spent", "usd_today=2000000000") == rule("--spent", "usd=2000000000") == "spend-stop"
    assert rule("--spent", "usd=2000000000", "--spent", "usd_today=1") == "refund-small"
    for wrong in ("usd", "usd=", "usd=x", "usd_week=1", "usd=-1", "=1"):
        assert guard("policy", "check", *asked, "--spent", wrong).status == 2
