"""`mcp-guard policy …`: what would be decided and why, and whether the files are good."""

from pathlib import Path

import pytest

from mcp_guard.demo.home import SANDBOX_PORT, copy_home
from tests.cli.conftest import Guard, change
from tests.simulators.process import Program


@pytest.mark.holds("cli:policy-check")
def test_the_shape(guard: Guard) -> None:
    ran = guard("--json", "policy", "check", "user:alice", "payments_refund", '{"order_id": "ORD-1002", "amount": 800}')
    assert ran.status == 0
    assert list(ran.json) == ["effect", "rule", "reason", "then", "near", "policy"]
    assert (ran.json["effect"], ran.json["rule"]) == ("require_approval", "refund-large")
    assert ran.json["then"] == {"approvers": ["role:finance"], "not": "requester", "expires": 14400}
    assert {"rule", "line", "effect", "because"} == set(ran.json["near"][0])


@pytest.mark.holds("cli:policy-check")
@pytest.mark.parametrize(
    ("question", "effect", "rule"),
    [
        (("user:alice", "orders_get", '{"order_id": "ORD-1"}'), "allow", "support-reads-orders"),
        (("user:carol", "orders_get"), "deny", "guard:default"),
        (("user:bob", "payments_refund"), "deny", "guard:default"),
        (("user:alice", "payments_refund", "--client", "agent:untrusted"), "deny", "untrusted-agents"),
        (("user:alice", "customers_delete", "--act", "list"), "deny", "guard:default"),
        (("user:carol", "audit:records"), "allow", "audit-auditor"),
        (("user:mallory", "audit:records"), "deny", "guard:default"),
        (("user:mallory", "guard:whoami"), "allow", "whoami-read"),
        (("user:bob", "payments_refund", '{"amount": 800}', "--act", "approve"), "allow", "finance-decides-refunds"),
        (("user:alice", "orders_get", "--tenant", "globex"), "deny", "guard:default"),
    ],
)
def test_answers(question: tuple[str, ...], effect: str, rule: str, guard: Guard) -> None:
    answer = guard("--json", "policy", "check", *question).json
    assert (answer["effect"], answer["rule"]) == (effect, rule)


@pytest.mark.holds("cli:policy-check")
def test_what_was_seen_is_part_of_the_question(guard: Guard) -> None:
    mail = ("user:alice", "mail_send", '{"to": ["chiara@globex.example"]}')
    assert guard("--json", "policy", "check", *mail).json["rule"] == "mail-known"
    after = guard("--json", "policy", "check", *mail, "--seen", "pii", "--seen", "untrusted").json
    assert (after["effect"], after["rule"]) == ("require_approval", "mail-after-notes")


def test_for_people_it_says_what_would_come_first(guard: Guard, desk: Program) -> None:
    ran = guard("policy", "check", "user:alice", "payments_refund", '{"amount": "hunter2"}')
    assert ran.status == 0
    assert "near: refund-small (line" in ran.out
    assert "/order_id: is required" in ran.err
    assert "hunter2" not in ran.out + ran.err
    assert not (desk.home / "var" / "guard.db").exists(), "a question is not a call"


@pytest.mark.parametrize(
    ("question", "status"),
    [
        (("user:alice", "orders_gett"), 5),
        (("alice", "orders_get"), 2),
        (("user:alice", "orders_get", "[]"), 2),
        (("user:alice", "orders_get", "{"), 2),
        (("user:alice", "orders_get", "--act", "own"), 2),
        (("user:alice", "orders_get", "--client", "user:bob"), 2),
        (("user:alice", "orders_get", "--tenant", "a b"), 2),
    ],
)
def test_questions_that_are_none(question: tuple[str, ...], status: int, guard: Guard) -> None:
    assert guard("--json", "policy", "check", *question).status == status


def test_a_tool_that_is_nearly_there(guard: Guard) -> None:
    assert "orders_get" in guard("--json", "policy", "check", "user:alice", "orders_gett").error["hint"]


def test_lint(guard: Guard, desk: Program) -> None:
    clean = guard("--json", "policy", "lint")
    assert (clean.status, clean.json) == (0, [])
    change(desk.home / "policy" / "policy.csv", "r.ctx.args.amount > 5000", "r.ctx.args.amount > 5000 or (")
    ran = guard("--json", "policy", "lint")
    assert ran.status == 3
    assert set(ran.json[0]) >= {"severity", "file", "line", "code", "message"}
    assert ran.json[0]["file"] == "policy/policy.csv"
    assert guard("policy", "lint").out.startswith("policy/policy.csv:")


def test_lint_knows_of_change_control(guard: Guard, desk: Program) -> None:
    change(desk.home / "mcp-guard.yaml", "policy:\n", "policy:\n  change_control: second-person\n")
    ran = guard("--json", "policy", "lint")
    assert (ran.status, [problem["code"] for problem in ran.json]) == (0, ["confirmers_unreachable"])


def test_tests(guard: Guard, desk: Program, tmp_path: Path) -> None:
    good = guard("--json", "policy", "test")
    assert good.status == 0
    assert all(row["passed"] for row in good.json)
    own = tmp_path / "own.yaml"
    own.write_text(
        "- {name: wrong on purpose, as: user:alice, via: agent:local, tenant: acme, tool: orders_get,"
        " want: {effect: deny}}\n",
        encoding="utf-8",
    )
    bad = guard("--json", "policy", "test", str(own))
    assert bad.status == 4
    assert [(row["name"], row["passed"]) for row in bad.json] == [("wrong on purpose", False)]
    assert "effect is allow, wanted deny" in guard("policy", "test", str(own)).out
    own.write_text("- {name: half a test}\n", encoding="utf-8")
    assert guard("--json", "policy", "test", str(own)).error["code"] == "invalid"


def test_no_tests_are_not_good_tests(guard: Guard, desk: Program) -> None:
    change(desk.home / "mcp-guard.yaml", "policy/tests/*.yaml", "policy/no-tests/*.yaml")
    ran = guard("policy", "test")
    assert ran.status == 4
    assert "no tests found" in ran.err


@pytest.mark.holds("policy:coverage")
def test_coverage_is_shown_where_it_is_asked_for(guard: Guard, desk: Program, run_here: Guard, tmp_path: Path) -> None:
    assert isinstance(guard("--json", "policy", "test").json, list), "the shape of a plain run stays"
    as_it_is = str(copy_home(tmp_path / "whole", SANDBOX_PORT))
    whole = run_here("--home", as_it_is, "--json", "policy", "test", "--coverage")
    assert whole.status == 0
    assert list(whole.json) == ["results", "coverage"]
    assert list(whole.json["coverage"]) == ["rows", "covered", "percent", "uncovered"]
    assert (whole.json["coverage"]["percent"], whole.json["coverage"]["uncovered"]) == (100.0, [])
    tests = desk.home / "policy" / "tests"
    some = guard("policy", "test", "--coverage", str(tests / "refunds.yaml"))
    assert some.status == 0
    assert "policy/policy.csv:13: no test shows support-reads-orders at work" in some.out


@pytest.mark.holds("policy:coverage")
@pytest.mark.parametrize(("percent", "status"), [("0", 0), ("10", 0), ("90", 4), ("100", 4)])
def test_a_coverage_that_is_too_small_fails(percent: str, status: int, guard: Guard, desk: Program) -> None:
    ran = guard(
        "--json", "policy", "test", "--fail-under", percent, str(desk.home / "policy" / "tests" / "refunds.yaml")
    )
    assert (ran.status, list(ran.json)) == (status, ["results", "coverage"])
    assert (f"below {percent} %" in ran.err) is (status == 4)


@pytest.mark.parametrize("percent", ["-1", "101", "nan", "1.5", ""])
def test_percentages_that_are_none(percent: str, guard: Guard) -> None:
    assert guard("--json", "policy", "test", "--fail-under", percent).status == 2


@pytest.mark.holds("policy:junit")
def test_results_for_build_servers(guard: Guard, tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    ran = guard("--json", "policy", "test", "--junit", str(report))
    assert isinstance(ran.json, list)
    assert report.read_text(encoding="utf-8").count("<testcase ") == len(ran.json)
    missing = guard("--json", "policy", "test", "--junit", str(tmp_path / "no" / "junit.xml"))
    assert missing.status == 1
    assert "No such file" in missing.error["message"]
