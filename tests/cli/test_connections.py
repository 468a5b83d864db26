"""`mcp-guard connections …`: an account connected with a browser on this machine, listed, revoked and erased."""

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.accounts import Ledger, browser, make_home
from tests.inside import records
from tests.simulators.authorization_server import AuthorizationServer
from tests.simulators.process import Program


@dataclass
class World:
    program: Program
    issuer: AuthorizationServer
    ledger: Ledger


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        issuer = stack.enter_context(AuthorizationServer())
        ledger = Ledger(issuer)
        stack.enter_context(ledger.http)
        home: Path = make_home(tmp_path_factory.mktemp("connections") / "home", issuer, ledger)
        yield World(Program(home), issuer, ledger)


async def _connect(program: Program, *arguments: str) -> tuple[int, str]:
    """Run the command, and do in a browser what it asks for; its status and what it printed."""
    command = program.command("--json", "connections", "connect", "ledger", "--no-browser", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(40), browser() as opened:
            while line := (await process.stderr.readline()).decode():
                if found := re.search(r"http://127\.0\.0\.1:\d+/oauth/connect/\S+", line):
                    assert (await opened.connect(found.group())).status_code == 200
                    break
            out = (await process.stdout.read()).decode()
            return await process.wait(), out
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="the pipes of this test are not there")
@pytest.mark.holds("oauth:cli", "oauth:erase")
async def test_connect_list_call_revoke_and_erase(world: World) -> None:
    program = world.program
    refused = await asyncio.to_thread(program.run, "--json", "call", "ledger_note")
    assert refused.status == 5
    assert refused.json["structuredContent"]["guard"]["code"] == "connection_required"
    assert "mcp-guard connections connect ledger" in refused.json["structuredContent"]["guard"]["reason"]
    status, out = await _connect(program)
    assert status == 0
    assert '"upstream":"ledger"' in out.replace(" ", "")
    assert (await asyncio.to_thread(program.run, "--json", "call", "ledger_note")).status == 0
    (row,) = (await asyncio.to_thread(program.run, "--json", "connections", "list")).json
    assert (row["upstream"], row["subject"], row["state"]) == ("ledger", "user:me", "connected")
    assert "token" not in str(row)
    revoked = await asyncio.to_thread(program.run, "--json", "connections", "revoke", "ledger", "--subject", "user:me")
    assert (revoked.status, revoked.json["issuer"]) == (0, "revoked")
    assert world.issuer.revoked
    assert (await asyncio.to_thread(program.run, "connections", "revoke", row["id"])).status == 2
    what = [record["state"]["what"] for record in records(program.home, "config")]
    assert what[-2:] == ["connected", "connection-revoked"]
    assert (await _connect(program))[0] == 0
    erase = ("--json", "audit", "erase", "--subject", "user:me", "--reason", "ticket 812")
    assert (await asyncio.to_thread(program.run, *erase)).json["connections"] == 1
    assert (await asyncio.to_thread(program.run, "--json", "connections", "list")).json == []
    token = next(reversed(world.issuer.granted)).encode()
    assert not any(token in file.read_bytes() for file in program.home.glob("var/guard.db*"))


def test_an_upstream_that_is_not_there(world: World) -> None:
    done = world.program.run("connections", "connect", "nobody")
    assert done.status == 2
    assert "ledger" in done.err
