"""`mcp-guard serve`: how it starts, and how it says that it cannot. What it serves is in tests/server."""

import json
import signal
import socket
import subprocess
import sys

import pytest

from tests.cli.conftest import Guard, change
from tests.simulators.process import Program


@pytest.mark.parametrize(
    "arguments",
    [
        ("--stdio", "--http", "127.0.0.1:0"),
        ("--http", "127.0.0.1:0", "--as", "user:alice"),
        ("--http", "127.0.0.1:0", "--client", "agent:x"),
        ("--http", "127.0.0.1"),
        ("--http", ":80"),
        ("--http", "127.0.0.1:65536"),
        ("--http", "127.0.0.1:²"),
        ("--http", "127.0.0.1:-1"),
        ("--as", "alice"),
        ("--client", "user:alice"),
    ],
    ids=" ".join,
)
def test_ways_it_cannot_be_started(arguments: tuple[str, ...], guard: Guard) -> None:
    ran = guard("--json", "serve", *arguments)
    assert (ran.status, ran.error["code"]) == (2, "usage")


def test_a_port_that_is_taken(guard: Guard) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = guard("serve", "--http", f"127.0.0.1:{taken.getsockname()[1]}")
    assert ran.status == 2
    assert "cannot listen on 127.0.0.1" in ran.err
    assert "Traceback" not in ran.err
    assert guard("audit", "verify").status == 0, "the log was closed properly"
    kinds = [record["kind"] for record in guard("--json", "audit", "tail").json["records"]]
    assert kinds == ["key", "boot", "shutdown"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to end it with")
def test_the_address_as_data(desk: Program) -> None:
    command = desk.command("--json", "--quiet", "serve", "--http", "127.0.0.1:0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        process.send_signal(signal.SIGTERM)
        rest, err = process.communicate(timeout=60)
    assert url.startswith("http://127.0.0.1:")
    assert (process.returncode, rest, err) == (0, "", "")


@pytest.mark.holds("observe:loud")
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to end it with")
def test_observe_mode_is_said_at_the_start_also_quietly(desk: Program, guard: Guard) -> None:
    change(desk.home / "tool_manifests" / "mail.yaml", "toolset: mail\n", "toolset: mail\ndefaults: {mode: observe}\n")
    command = desk.command("--json", "--quiet", "serve", "--http", "127.0.0.1:0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert err == "warning: OBSERVE MODE: policy is recorded and NOT obeyed at mail_send\n"
    assert guard("--json", "audit", "status").json["in_force"]["observed"] == ["mail_send"]


@pytest.mark.holds("observe:findable", "observe:told-truly")
def test_what_would_have_been_stopped_shows_on_the_command_line(desk: Program, guard: Guard) -> None:
    change(desk.home / "tool_manifests" / "mail.yaml", "toolset: mail\n", "toolset: mail\ndefaults: {mode: observe}\n")
    mail = '{"to": ["x@elsewhere.example"], "subject": "s", "body": "b", "justification": "a test"}'
    assert guard("call", "mail_send", "--args", mail).status == 0
    page = guard("--json", "audit", "query", "--would", "deny").json
    assert [record["kind"] for record in page["records"]] == ["outcome", "intent"]
    assert "deny (observed)" in guard("audit", "query", "--would", "deny").out
    checked = guard("policy", "check", "user:alice", "mail_send", mail)
    assert checked.out.startswith("deny by mail-elsewhere")
    assert "is in observe mode" in checked.err
    assert guard("--json", "policy", "check", "user:alice", "mail_send", mail).json["observed"] is True
