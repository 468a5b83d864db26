"""What holds for every command: JSON on demand, a documented status, and never a traceback or a stranger's value."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mcp_guard.cli.output import printable
from mcp_guard.cli.root import cli, run
from tests.cli.conftest import Guard, change
from tests.simulators.process import Program


def _paths(command: click.Command, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [leaf for name, below in found if below is not None for leaf in _paths(below, (*path, name))]


COMMANDS = _paths(cli, ())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], run_here: Guard) -> None:
    ran = run_here(*path, "--help")
    assert ran.status == 0
    assert "--json" in ran.out
    assert ran.out.splitlines()[2].strip(), "it says in one sentence what it does"


@pytest.mark.holds("cli:json")
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_wrong_usage_is_one_json_document_too(path: tuple[str, ...], run_here: Guard) -> None:
    for arguments in (("--json", *path, "--no-such-option"), (*path, "--no-such-option", "--json")):
        ran = run_here(*arguments)
        assert ran.status == 2
        assert ran.error["code"] == "usage"
        assert set(ran.error) == {"code", "message", "hint"}


@pytest.mark.holds("cli:json")
def test_the_flag_may_stand_before_or_behind(guard: Guard) -> None:
    documents = [
        guard(*arguments).json
        for arguments in (("--json", "tools", "list"), ("tools", "--json", "list"), ("tools", "list", "--json"))
    ]
    assert documents[0] == documents[1] == documents[2]


def test_wrong_usage_for_people(run_here: Guard) -> None:
    ran = run_here("tool")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error[usage]: No such command 'tool'.")
    nothing = run_here()
    assert (nothing.status, nothing.out) == (2, "")
    assert "Commands:" in nothing.err
    assert run_here("--json").error["message"] == "Missing command."
    assert run_here("--json", "audit").error["code"] == "usage"
    assert run_here("--version").status == 0


@pytest.mark.holds("cli:no-secret-in-errors")
@pytest.mark.parametrize(
    "arguments",
    [
        ("token", "create", "user:alice", "{secret}"),
        ("token", "create", "{secret}"),
        ("call", "orders_get", "{secret}"),
        ("call", "orders_get", "--as", "{secret}"),
        ("call", "orders_get", "--args", '{{"x": {secret}'),
        ("call", "orders_get", "order_id=ORD-1001", "--token", "{secret}"),
        ("policy", "check", "user:alice", "orders_get", "{secret}"),
        ("policy", "check", "{secret}", "orders_get"),
        ("audit", "verify", "--expect", "{secret}"),
        ("completion", "{secret}"),
        ("explain", "{secret}"),
        ("{secret}",),
    ],
    ids=" ".join,
)
def test_a_secret_in_the_wrong_place_is_not_repeated(arguments: tuple[str, ...], guard: Guard) -> None:
    secret = "mcpg_abcdefghijklmnop_" + "0123456789abcdef" * 4
    ran = guard(*(argument.format(secret=secret) for argument in arguments))
    assert ran.status in (2, 5)
    assert secret not in ran.out + ran.err
    assert "0123456789abcdef" not in ran.out + ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("name", ["order_id=\udcff", "\ud83d", "--\udcff"])
def test_bytes_that_are_not_text_are_refused(name: str, guard: Guard) -> None:
    ran = guard("--json", "call", "orders_get", name)
    assert (ran.status, ran.error["message"]) == (2, "An argument is not valid UTF-8 text.")


def test_what_nobody_expected_shows_neither_traceback_nor_message(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("mcp_guard.config.load.load", broken)
    for arguments in (("tools", "list"), ("tools", "list", "-v"), ("--json", "tools", "list")):
        ran = guard(*arguments)
        assert ran.status == 1
        assert "hunter2" not in ran.out + ran.err
        assert "Traceback" not in ran.err
    assert "RuntimeError at test_root.py" in guard("-v", "tools", "list").err


def test_an_interrupt_has_its_own_status(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mcp_guard.config.load.load", interrupted)
    assert guard("tools", "list").status == 130


def test_there_is_no_home(tmp_path: Path, run_here: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run_here("--json", "tools", "list")
    assert ran.status == 2
    assert "mcp-guard init" in ran.error["hint"]


BREAKAGES = [
    ("mcp-guard.yaml", "name: support-desk", "name: [support-desk"),
    ("tool_manifests/orders.yaml", "kind: Tools", "kind: Tolls"),
    ("policy/principals.yaml", "kind: Principals", "kind: Principal"),
    ("policy/policy.csv", "role:support, *, acme", "role:support, *"),
]


@pytest.mark.holds("cli:broken-home")
@pytest.mark.parametrize(("file", "old", "new"), BREAKAGES, ids=[file for file, _, _ in BREAKAGES])
def test_a_broken_home_names_every_problem(file: str, old: str, new: str, desk: Program, guard: Guard) -> None:
    change(desk.home / file, old, new)
    ran = guard("config", "validate")
    assert (ran.status, ran.out) == (3, "")
    assert ran.err.startswith(f"{file}:"), "file first, so that a terminal can open it"
    assert ": error[" in ran.err
    problems = guard("--json", "config", "validate").error["problems"]
    assert {problem["file"] for problem in problems} == {file}
    assert all(problem["line"] > 0 for problem in problems)
    assert guard("call", "orders_get", "order_id=ORD-1001").status == 3
    assert not (desk.home / "var" / "guard.db").exists(), "a broken home does nothing"


@pytest.mark.holds("cli:broken-home")
def test_tools_and_principals_are_complained_about_together(desk: Program, guard: Guard) -> None:
    for file, old, new in BREAKAGES[1:3]:
        change(desk.home / file, old, new)
    problems = guard("--json", "config", "validate").error["problems"]
    assert {problem["file"] for problem in problems} == {"tool_manifests/orders.yaml", "policy/principals.yaml"}


READING = [("audit", "tail"), ("audit", "query"), ("audit", "show", "0"), ("audit", "status"), ("audit", "verify")]
READING += [("token", "list"), ("token", "revoke", "x")]


@pytest.mark.holds("cli:reading-makes-nothing")
@pytest.mark.parametrize("path", READING, ids=" ".join)
def test_without_a_store_readers_say_how_one_is_made(path: tuple[str, ...], desk: Program, guard: Guard) -> None:
    ran = guard("--json", *path)
    assert ran.status == 8
    assert "nothing has been recorded" in ran.error["message"]
    assert "mcp-guard call" in ran.error["hint"]
    assert not (desk.home / "var" / "guard.db").exists()


@pytest.mark.parametrize("damage", ["", "garbage" * 100, "SQLite format 3\x00" + "x" * 200])
def test_a_store_that_is_none(damage: str, desk: Program, guard: Guard) -> None:
    (desk.home / "var" / "guard.db").write_text(damage, encoding="utf-8")
    for path in READING[:4]:
        ran = guard("--json", *path)
        assert (ran.status, ran.error["code"]) == (8, "audit_unavailable")


def test_a_text_from_elsewhere_cannot_command_the_terminal() -> None:
    hostile = "a\x1b[2Jb\u202ec\x9bd\re\u200bf"
    assert printable(hostile) == "a<U+001B>[2Jb<U+202E>c<U+009B>d\\re<U+200B>f"
    assert printable("one\n\ttwo") == "one\n\ttwo"


def test_no_color(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    guard("call", "orders_get", "order_id=ORD-1001")
    assert "\x1b[3" not in guard("audit", "tail").out


def test_a_reader_that_leaves_early_is_no_error(desk: Program) -> None:
    with subprocess.Popen(
        desk.command("--json", "config", "schema"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
    assert (process.returncode, err) == (0, b"")


def test_a_terminal_that_lacks_a_character(desk: Program) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mcp_guard", "explain", "internal"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\xb7" in done.stdout


def test_the_program_is_the_function(desk: Program) -> None:
    done = desk.run("--json", "tools", "show", "nope")
    assert done.status == run(["--home", str(desk.home), "--json", "tools", "show", "nope"]) == 5
    assert json.loads(done.out)["error"]["code"] == "unknown_tool"
