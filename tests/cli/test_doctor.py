"""`mcp-guard doctor`: what is wrong, in the order in which it matters, without touching anything."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.demo.database import edit_one_record
from tests.cli.conftest import Guard, change
from tests.simulators.process import Program

GOOD = [
    "home",
    "configuration",
    "tools",
    "principals",
    "policy",
    "policy tests",
    "local identity",
    "store",
    "private files",
    "secrets",
    "functions",
]

Breakage = Callable[[Path], Any]


def _states(guard: Guard) -> dict[str, str]:
    return {check["name"]: check["state"] for check in guard("--json", "doctor").json}


def _contents(home: Path) -> dict[Path, tuple[int, bytes]]:
    # SQLite needs its own two companions to read a store in use; they hold nothing of ours.
    files = (path for path in home.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm")))
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.mark.holds("cli:doctor")
def test_a_good_home(guard: Guard, desk: Program) -> None:
    ran = guard("doctor")
    assert ran.status == 0
    assert [line.split(":")[0] for line in ran.out.splitlines()] == [f"ok   {name}" for name in GOOD]
    checks = guard("--json", "doctor").json
    assert [check["name"] for check in checks] == GOOD
    assert {tuple(check) for check in checks} == {("name", "state", "what")}
    guard("call", "orders_get", "order_id=ORD-1001")
    assert _states(guard)["audit chain"] == "ok"


@pytest.mark.holds("cli:doctor")
def test_it_writes_nothing(guard: Guard, desk: Program) -> None:
    before = _contents(desk.home)
    guard("doctor")
    assert _contents(desk.home) == before
    guard("call", "orders_get", "order_id=ORD-1001")
    before = _contents(desk.home)
    guard("doctor")
    assert _contents(desk.home) == before


def _edit(file: str, old: str, new: str) -> Breakage:
    return lambda home: change(home / file, old, new)


def _hook(secret: str) -> Breakage:
    """Name a webhook whose secret is this, or nowhere."""

    def breakage(home: Path) -> None:
        hook = "approvals: {webhooks: [{url: 'https://chat.example/x', secret: '${secret:hook}'}]}\n"
        with (home / "mcp-guard.yaml").open("a", encoding="utf-8") as file:
            file.write(hook)
        if secret:
            (home / "var" / "secrets" / "hook").touch(0o600)
            (home / "var" / "secrets" / "hook").write_text(secret, encoding="utf-8")

    return breakage


def _budget(home: Path) -> None:
    """A budget of the whole home in a unit that no tool costs."""
    with (home / "mcp-guard.yaml").open("a", encoding="utf-8") as file:
        file.write("limits: {tenant: {budget: [5eur/day]}}\n")


BROKEN: list[tuple[str, Breakage, tuple[str, str], int]] = [
    ("no home", lambda home: (home / "mcp-guard.yaml").unlink(), ("home", "fail"), 2),
    ("configuration", _edit("mcp-guard.yaml", "name: support-desk", "nam: x"), ("configuration", "fail"), 3),
    ("a unit nothing costs", _budget, ("configuration", "fail"), 3),
    ("tools", _edit("tool_manifests/orders.yaml", "kind: Tools", "kinds: Tools"), ("tools", "fail"), 3),
    ("principals", _edit("policy/principals.yaml", "kind: Principals", "kind: X"), ("principals", "fail"), 3),
    ("no principals", lambda home: (home / "policy" / "principals.yaml").unlink(), ("principals", "warn"), 0),
    ("policy", _edit("policy/policy.csv", "mail-known", "mail known"), ("policy", "fail"), 3),
    ("tests", _edit("policy/policy.csv", "<= 100,", "<= 10,"), ("policy tests", "fail"), 4),
    ("no tests", _edit("mcp-guard.yaml", "policy/tests/*.yaml", "policy/none/*.yaml"), ("policy tests", "warn"), 0),
    ("nobody", _edit("mcp-guard.yaml", "user:alice", "user:zoe"), ("local identity", "warn"), 0),
    ("no store", lambda home: (home / "var" / "guard.db").write_bytes(b"x" * 4096), ("store", "fail"), 8),
    ("no secret", lambda home: (home / "var" / "secrets" / "payments_key").unlink(), ("secrets", "fail"), 7),
    ("no secret of a webhook", _hook(""), ("secrets", "fail"), 7),
    ("a secret of a webhook in another form", _hook("hunter2hunter2"), ("webhooks", "fail"), 3),
    ("function", _edit("tool_manifests/mail.yaml", "mcp_guard.demo", "mcp_guard.demi"), ("functions", "fail"), 7),
]


@pytest.mark.holds("cli:doctor")
@pytest.mark.parametrize(("breakage", "first", "status"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_each_fault_is_found(
    breakage: Breakage, first: tuple[str, str], status: int, guard: Guard, desk: Program
) -> None:
    breakage(desk.home)
    ran = guard("--json", "doctor")
    assert ran.status == status
    found = [check for check in ran.json if check["state"] != "ok"]
    assert (found[0]["name"], found[0]["state"]) == first
    assert found[0]["hint"], "it says what to do"


def test_a_file_others_can_read(guard: Guard, desk: Program) -> None:
    if os.name != "posix":
        pytest.skip("no such bits here")
    (desk.home / "var" / "secrets" / "payments_key").chmod(0o644)
    ran = guard("doctor")
    assert ran.status == 3
    assert "FAIL private files: others can read or write var/secrets/payments_key" in ran.out
    assert "chmod 600 var/secrets/payments_key" in ran.out


def test_a_broken_chain(guard: Guard, desk: Program) -> None:
    guard("call", "payments_refund", "order_id=ORD-1002", "amount=9000")
    guard("call", "orders_get", "order_id=ORD-1001")
    edit_one_record(desk.home / "var" / "guard.db")
    ran = guard("--json", "doctor")
    assert ran.status == 8
    assert {check["name"]: check["state"] for check in ran.json}["audit chain"] == "fail"


def test_the_status_is_that_of_the_first_failure(guard: Guard, desk: Program) -> None:
    change(desk.home / "policy" / "policy.csv", "<= 100,", "<= 10,")
    (desk.home / "var" / "secrets" / "payments_key").unlink()
    ran = guard("doctor")
    assert ran.status == 4
    assert [line.split(":")[0] for line in ran.out.splitlines() if line.startswith("FAIL")] == [
        "FAIL policy tests",
        "FAIL secrets",
    ]


@pytest.mark.holds("cli:no-secret-in-errors")
def test_no_secret_is_shown(guard: Guard, desk: Program, payments_secret: str) -> None:
    for verbosity in ("-v", "-q", "--json"):
        ran = guard(verbosity, "doctor")
        assert payments_secret not in ran.out + ran.err


def test_a_module_that_prints_or_exits(fresh: Path, run_here: Guard) -> None:
    tools = fresh / "home_tools.py"
    tools.write_text("print('noise')\n" + tools.read_text(encoding="utf-8"), encoding="utf-8")
    ran = run_here("--home", str(fresh), "--json", "doctor")
    assert ran.status == 0
    assert {check["state"] for check in ran.json} == {"ok"}
    sys.modules.pop("home_tools", None)
    tools.write_text("raise SystemExit(0)\n", encoding="utf-8")
    ran = run_here("--home", str(fresh), "--json", "doctor")
    assert ran.status == 7
    assert ran.json[-1]["what"] == "hello_greet: home_tools:greet cannot be imported (SystemExit)"


@pytest.mark.holds("observe:loud")
def test_observe_mode_is_a_warning(guard: Guard, desk: Program) -> None:
    change(desk.home / "tool_manifests" / "mail.yaml", "toolset: mail\n", "toolset: mail\ndefaults: {mode: observe}\n")
    ran = guard("--json", "doctor")
    assert ran.status == 0
    [found] = [check for check in ran.json if check["name"] == "observe mode"]
    assert (found["state"], found["what"]) == ("warn", "policy is recorded and NOT obeyed at mail_send")
