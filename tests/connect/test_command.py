"""A command as a tool: what it gets, what comes back, and what an agent cannot make of it."""

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_guard.connect.command import CommandConnector
from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.kit.programs import bubblewrap
from mcp_guard.model.errors import Invalid, Refused
from mcp_guard.model.tool import CommandSpec, ProcessLimits, Sandbox
from tests.connect.tools import invocation, tool, until
from tests.simulators.naughty import NAUGHTY

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="commands are not for Windows")
sandboxed = pytest.mark.skipif(bubblewrap() is None, reason="no working bubblewrap (`bwrap`) on this machine")

ECHO = "import sys, json; print(json.dumps(sys.argv[1:]))"


def command(*argv: str, **more: object) -> CommandSpec:
    program = shutil.which(argv[0])
    assert program is not None
    spec = CommandSpec(
        kind="command",
        program=program,
        argv=argv,
        cwd=None,
        env=(),
        within=(),
        allow_dash=(),
        ok_exits=None,
        max_bytes=64 * 1024,
        limits=ProcessLimits(cpu=20),
    )
    return replace(spec, **more)  # type: ignore[arg-type]


def made(means: Means, spec: CommandSpec) -> CommandConnector:
    connector = connect(tool(spec), means)
    assert isinstance(connector, CommandConnector)
    return connector


async def run(
    means: Means, spec: CommandSpec, arguments: Mapping[str, object] | None = None, seconds: float = 20.0
) -> dict[str, object]:
    value = (await made(means, spec).invoke(invocation(arguments, timeout=seconds))).value
    assert isinstance(value, dict)
    return value


async def failure(
    means: Means, spec: CommandSpec, arguments: Mapping[str, object] | None = None, seconds: float = 20.0
) -> Refused:
    with pytest.raises(Refused) as refused:
        await run(means, spec, arguments, seconds)
    return refused.value


async def test_any_exit_is_a_result(means: Means) -> None:
    found = await run(means, command("sh", "-c", "echo out; echo err >&2; exit 3"))
    assert found == {"exit": 3, "stdout": "out\n", "stderr": "err\n"}


async def test_where_exits_are_declared_others_are_failures(means: Means) -> None:
    spec = command("sh", "-c", 'echo "no such thing" >&2; exit "$1"', "sh", "{n}", ok_exits=(0, 1))
    assert (await run(means, spec, {"n": 1}))["exit"] == 1
    failed = await failure(means, spec, {"n": 2})
    assert (failed.code, failed.executed) == ("upstream_error", "unknown")
    assert failed.reason == "the command ended with status 2: no such thing"


async def test_a_signal_is_no_exit(means: Means) -> None:
    failed = await failure(means, command("sh", "-c", "kill -TERM $$"))
    assert (failed.code, failed.executed) == ("upstream_error", "unknown")
    assert "signal 15" in failed.reason


async def test_what_is_not_utf8_is_shown_as_such(means: Means) -> None:
    assert (await run(means, command("printf", "a\\377b")))["stdout"] == "a\ufffdb"


@pytest.mark.holds("command:argv-only")
async def test_nothing_an_agent_says_is_run(means: Means, tmp_path: Path) -> None:
    spec = command(sys.executable, "-I", "-S", "-c", ECHO, "{x}", "--x={x}", cwd=str(tmp_path))
    before = set(os.listdir(tmp_path))
    attacks = [
        "$(touch a)",
        "`touch a`",
        "; touch a",
        "| touch a",
        "a\ntouch a",
        "&& touch a",
        "> a",
        "*",
        "~",
        "%s %n",
    ]
    import json

    for attack in (*attacks, *(text for text in NAUGHTY[::25] if "\0" not in text and not text.startswith("-"))):
        found = await run(means, spec, {"x": attack})
        assert json.loads(str(found["stdout"])) == [attack, f"--x={attack}"]
    assert set(os.listdir(tmp_path)) == before


@pytest.mark.holds("command:nothing-inherited")
async def test_the_environment_is_what_is_declared(means: Means, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "s3cret-of-the-server")
    monkeypatch.setenv("LD_PRELOAD", "")
    assert (await run(means, command("env")))["stdout"] == ""
    assert (await run(means, command("env", env=(("LANG", "C"), ("A", "1")))))["stdout"] == "LANG=C\nA=1\n"


@pytest.mark.holds("secrets:redacted")
async def test_a_secret_reaches_the_program_and_nobody_else(means: Means, environ: dict[str, str]) -> None:
    environ["MCP_GUARD_SECRET_KEY"] = "s3cret-value-of-the-test"
    spec = command(
        "sh",
        "-c",
        "printf '%s|%s' ${{#KEY}} $KEY; echo $KEY >&2; exit $1",
        "sh",
        "{n}",
        env=(("KEY", "${secret:key}"),),
    )
    assert await run(means, spec, {"n": 0}) == {"exit": 0, "stdout": "24|[redacted]", "stderr": "[redacted]\n"}
    failed = await failure(means, replace(spec, ok_exits=(0,)), {"n": 1})
    assert failed.reason == "the command ended with status 1: [redacted]"
    spec = command("sh", "-c", "printf '%s' $KEY | base64", env=(("KEY", "${secret:key}"), ("PATH", "/usr/bin:/bin")))
    assert "[redacted]" in str((await run(means, spec))["stdout"])


async def test_a_secret_that_is_not_there_runs_nothing(means: Means, tmp_path: Path) -> None:
    spec = command("touch", "begun", cwd=str(tmp_path), env=(("KEY", "${secret:nowhere}"),))
    failed = await failure(means, spec)
    assert (failed.code, failed.executed) == ("upstream_unavailable", "no")
    assert not (tmp_path / "begun").exists()


@pytest.mark.holds("command:nothing-inherited")
async def test_each_call_has_an_empty_directory_of_its_own(means: Means) -> None:
    spec = command("sh", "-c", "ls -A; touch here; umask; pwd")
    one, two = await run(means, spec), await run(means, spec)
    listed, place = str(one["stdout"]).split("\n", 1)
    assert listed == "0077"
    assert one != two
    assert not Path(place.strip()).exists()


async def test_a_call_that_is_given_up_ends_its_program(means: Means, tmp_path: Path) -> None:
    spec = command("sh", "-c", "echo $$ > pid; exec sleep 1000", cwd=str(tmp_path))
    task = asyncio.create_task(made(means, spec).invoke(invocation(timeout=60.0)))
    pid = tmp_path / "pid"
    await until(lambda: pid.exists() and pid.read_text().strip() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists() or sys.platform != "linux")


async def test_an_argument_that_leads_to_the_guard_is_refused(means: Means, tmp_path: Path) -> None:
    (tmp_path / "policy.csv").write_text("p\n")
    means.forbids = lambda path: os.path.realpath(path) == str(tmp_path / "policy.csv")
    spec = command("cat", "--", "{x}", cwd="/")
    failed = await failure(means, spec, {"x": str(tmp_path / "policy.csv")})
    assert (failed.code, failed.executed) == ("args_invalid", "no")
    assert str(tmp_path) not in failed.reason
    (tmp_path / "link").symlink_to("policy.csv")
    assert (await failure(means, spec, {"x": str(tmp_path / "link")})).code == "args_invalid"


@pytest.mark.holds("command:pinned")
async def test_a_program_that_changed_since_it_was_pinned_is_not_run(means: Means, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho one\n")
    script.chmod(0o700)
    pin = hashlib.sha256(script.read_bytes()).hexdigest()
    spec = command(str(script), sha256=pin)
    assert (await run(means, spec))["stdout"] == "one\n"
    script.write_text("#!/bin/sh\necho two\n")
    failed = await failure(means, spec)
    assert (failed.code, failed.executed, failed.retry) == ("upstream_unavailable", "no", "never")


async def test_a_malformed_template_is_an_error_at_load(means: Means) -> None:
    with pytest.raises(Invalid):
        made(means, command("echo", "{x"))


# --- the sandbox


@sandboxed
@pytest.mark.holds("command:sandbox")
async def test_a_sandbox_shows_the_system_and_nothing_else(means: Means, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    secret = tmp_path.parent / f"{tmp_path.name}-secret"
    secret.write_text("not for tools")
    spec = command(
        "sh",
        "-c",
        'cat mine; cat "$1"; touch made; touch /usr/made /etc/made; ls /proc | grep -c "^[0-9]*$"; ls /home /root',
        "sh",
        "{x}",
        cwd=str(tmp_path),
        sandbox=Sandbox("bubblewrap", network=False, writes=True),
    )
    found = await run(means, spec, {"x": str(secret)})
    stdout, stderr = str(found["stdout"]), str(found["stderr"])
    assert stdout.startswith("mine")
    assert "not for tools" not in stdout
    assert "Read-only file system" in stderr
    assert (tmp_path / "made").exists()
    assert int(stdout.removeprefix("mine").split()[0]) < 8
    only_looking = replace(spec, sandbox=Sandbox("bubblewrap", network=False, writes=False))
    (tmp_path / "made").unlink()
    await run(means, only_looking, {"x": "/"})
    assert not (tmp_path / "made").exists()


@sandboxed
@pytest.mark.holds("command:sandbox")
@pytest.mark.parametrize("network", [False, True])
async def test_a_sandbox_has_the_network_only_where_it_is_declared(means: Means, network: bool) -> None:
    connected: list[object] = []

    async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    script = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5).recv(1); print('connected')"
    spec = command("/usr/bin/python3", "-I", "-S", "-c", script, sandbox=Sandbox("bubblewrap", network, writes=True))
    found = await run(means, spec)
    server.close()
    assert ("connected" in str(found["stdout"])) == network
    assert bool(connected) == network


@sandboxed
@pytest.mark.holds("process:nothing-left")
async def test_whoever_hides_in_a_sandbox_is_gone_too(means: Means) -> None:
    spec = command(
        "sh", "-c", "setsid sh -c 'trap \"\" TERM; sleep 4242' & sleep 1000", sandbox=Sandbox("bubblewrap", False, True)
    )
    failed = await failure(means, spec, seconds=1.0)
    assert isinstance(failed, Failed)
    assert failed.code == "upstream_timeout"

    def lines() -> list[bytes]:
        found = []
        for name in os.listdir("/proc"):
            try:
                found.append(Path("/proc", name, "cmdline").read_bytes() if name.isdigit() else b"")
            except OSError:
                continue
        return found

    await until(lambda: not any(b"4242" in line for line in lines()))


@sandboxed
async def test_a_sandbox_that_cannot_be_made_is_no_exit_of_the_program(means: Means, tmp_path: Path) -> None:
    spec = command("true", cwd=str(tmp_path / "none"), sandbox=Sandbox("bubblewrap", False, True))
    failed = await failure(means, spec)
    assert (failed.code, failed.executed) == ("upstream_unavailable", "unknown")
