"""`mcp-guard tools …`."""

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
    assert "secret" not in guard("tools", "show", "payments_refund").out
    ran = guard("--json", "tools", "show", "nope")
    assert (ran.status, ran.error["code"]) == (5, "unknown_tool")


def test_lint(guard: Guard, desk: Program) -> None:
    clean = guard("tools", "lint")
    assert (clean.status, clean.out) == (0, "")
    change(desk.home / "tool_manifests" / "orders.yaml", "kind: Tools", "kind: Tools\nkindd: 1")
    ran = guard("--json", "tools", "lint")
    assert ran.status == 3
    assert [(row["code"], row["file"]) for row in ran.json] == [("unknown_key", "tool_manifests/orders.yaml")]
    assert guard("tools", "list").status == 3
