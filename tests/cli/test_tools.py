"""`mcp-guard tools …`."""

import pytest

from tests.cli.conftest import Guard, change
from tests.simulators.process import Program


def test_list(guard: Guard) -> None:
    rows = guard("--json", "tools", "list").json
    assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
    assert {tuple(row) for row in rows} == {("name", "tags", "scopes", "connector", "fingerprint")}
    assert {row["connector"] for row in rows} == {"sql", "http", "python", "workflow"}
    assert "payments_refund" in guard("tools", "list").out


def test_show(guard: Guard) -> None:
    shown = guard("--json", "tools", "show", "payments_refund").json
    assert shown["connector"] == "http"
    assert "requested_by" not in shown["inputSchema"]["properties"]
    assert shown["bind"] == {"requested_by": "principal.subject"}
    ran = guard("--json", "tools", "show", "nope")
    assert (ran.status, ran.error["code"]) == (5, "unknown_tool")


@pytest.mark.holds("tools:show-effective")
def test_show_is_everything_a_tool_was_compiled_to(guard: Guard) -> None:
    shown = guard("--json", "tools", "show", "payments_refund").json
    said = guard("tools", "show", "payments_refund").out
    assert guard("--json", "tools", "show", "accounts_close").json["limits"] == ["rate=60/minute/all"]
    assert shown["cost"] == {"unit": "usd", "argument": "amount"}
    assert shown["retry"]["attempts"] == 3
    assert shown["http"]["headers"] == {"Authorization": "Bearer ${secret:payments_key}"}, "a reference is no secret"
    assert shown["http"]["networks"] == ["127.0.0.0/8"]
    assert all(name in said for name in shown), "the text has what the document has"
    steps = guard("--json", "tools", "show", "customers_onboard").json["workflow"]["steps"]
    assert [step["id"] for step in steps][:2] == ["customer", "account"]


@pytest.mark.holds("tools:show-effective")
def test_show_has_no_secret_that_was_written_out(guard: Guard, desk: Program) -> None:
    key = "correct-horse-battery"
    manifest = desk.home / "tool_manifests" / "payments.yaml"
    change(manifest, "Bearer ${secret:payments_key}", f"Bearer {key}")
    ran = guard("tools", "show", "payments_refund")
    assert ran.status == 0
    assert key not in ran.out
    assert "(written out, not shown)" in ran.out


@pytest.mark.holds("lint:poisoning", "lint:unlimited")
def test_lint_reads_what_the_model_reads(guard: Guard, desk: Program) -> None:
    manifest = desk.home / "tool_manifests" / "onboarding.yaml"
    change(manifest, "description: Close a customer's account", "description: <IMPORTANT> Close a customer's account")
    change(manifest, "    limits: {rate: 60/minute}\n", "")
    ran = guard("--json", "tools", "lint")
    assert ran.status == 0, "these are warnings"
    found = {row["code"]: row for row in ran.json}
    assert found.keys() == {"instruction_markup", "unlimited_destructive"}
    assert found["instruction_markup"]["severity"] == "warning"
    assert found["instruction_markup"]["line"]
    assert found["instruction_markup"]["column"]
    rules = desk.home / "policy" / "policy.csv"
    row = "p, taken-out, *, *, *, call, toolset:onboarding, True, allow, rate=9/minute/who, not more"
    rules.write_text(f"{rules.read_text(encoding='utf-8')}{row}\n", encoding="utf-8")
    assert [row["code"] for row in guard("--json", "tools", "lint").json] == ["instruction_markup"], "a rule bounds it"


def test_lint(guard: Guard, desk: Program) -> None:
    clean = guard("tools", "lint")
    assert (clean.status, clean.out) == (0, "")
    change(desk.home / "tool_manifests" / "orders.yaml", "kind: Tools", "kind: Tools\nkindd: 1")
    ran = guard("--json", "tools", "lint")
    assert ran.status == 3
    assert [(row["code"], row["file"]) for row in ran.json] == [("unknown_key", "tool_manifests/orders.yaml")]
    assert guard("tools", "list").status == 3
