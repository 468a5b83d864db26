"""`mcp-guard secret check`: what can be had, from where, and never what it is."""

import sys

import pytest

from tests.cli.conftest import Guard, change
from tests.simulators.process import Program

VALUE = "a-value-nobody-sees"


@pytest.mark.holds("cli:secret-check")
def test_every_secret_is_listed_with_who_uses_it(guard: Guard, desk: Program, payments_secret: str) -> None:
    ran = guard("--json", "secret", "check")
    assert ran.status == 0
    (found,) = ran.json
    assert found["reference"] == "${secret:payments_key}"
    assert found["source"] == "file"
    assert found["ok"] is True
    assert "tool payments_refund" in found["used_by"]
    assert payments_secret not in guard("secret", "check").out


@pytest.mark.holds("cli:secret-check", "secrets:programs")
def test_a_program_is_asked_instead_of_the_file(guard: Guard, desk: Program) -> None:
    _hand_out(desk, f"print('{VALUE}')")
    ran = guard("--json", "secret", "check")
    assert (ran.status, ran.json[0]["source"], ran.json[0]["ok"]) == (0, "a program", True)
    assert VALUE not in ran.out + ran.err


@pytest.mark.holds("cli:secret-check", "secrets:programs")
def test_a_program_that_fails_is_no_reason_to_take_the_file(guard: Guard, desk: Program) -> None:
    _hand_out(desk, f"import sys; print('{VALUE}'); sys.exit('{VALUE}')")
    ran = guard("--json", "secret", "check")
    assert (ran.status, ran.json[0]["ok"]) == (7, False)
    assert "ended with status 1" in ran.json[0]["problem"]
    assert VALUE not in ran.out + ran.err
    called = guard("--json", "call", "payments_refund", "order_id=ORD-1001", "amount=10")
    assert called.json["structuredContent"]["guard"]["code"] == "upstream_unavailable"
    assert called.json["structuredContent"]["guard"]["executed"] == "no"


def test_a_missing_secret_says_where_it_is_looked_for(guard: Guard, desk: Program) -> None:
    (desk.home / "var" / "secrets" / "payments_key").unlink()
    ran = guard("secret", "check")
    assert ran.status == 7
    assert "MCP_GUARD_SECRET_PAYMENTS_KEY" in ran.out


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("{}", "exactly one of exec and keyring"),
        ("{exec: [a], keyring: {user: b}}", "exactly one of exec and keyring"),
        ("{exec: []}", "at least 1"),
        ("{exec: pass show payments}", "expected a list"),
        ("{keyring: {user: b}, variables: [A]}", "no variables"),
    ],
)
def test_a_source_that_is_none_is_refused(guard: Guard, desk: Program, written: str, where: str) -> None:
    change(
        desk.home / "mcp-guard.yaml", "environment: demo", f"environment: demo\nsecrets: {{payments_key: {written}}}"
    )
    ran = guard("config", "validate")
    assert ran.status == 3
    assert where in ran.err


def _hand_out(desk: Program, code: str) -> None:
    """Have a program hand the payments key out."""
    source = f'secrets: {{payments_key: {{exec: ["{sys.executable}", "-I", "-c", "{code}"]}}}}'
    change(desk.home / "mcp-guard.yaml", "environment: demo", f"environment: demo\n{source}")
