"""How sessions begin and end, whatever a server does meanwhile, and whoever gives up waiting for it."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.mcp.connector import McpConnector
from mcp_guard.kit import strict_json
from mcp_guard.model.tool import McpSpec, Upstream, definition
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver
from tests.connect.tools import invocation, lives, tool, until
from tests.simulators.mcp_server import Script
from tests.simulators.mcp_server import tool as listed

SECRET = "upstream-s3cret"
CHANGED = {"method": "notifications/tools/list_changed"}
CHATTER = {"method": "notifications/message", "params": {"level": "info", "data": "la"}}


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    script = Script(tmp_path / "server")
    yield script
    for process in script.left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.fixture
async def means(tmp_path: Path) -> AsyncIterator[Means]:
    redactor = Redactor()
    resolver = Resolver(tmp_path, {"MCP_GUARD_SECRET_KEY": SECRET}, redactor)
    async with Means.open(tmp_path, resolver, redactor) as opened:
        yield opened


def _spec(script: Script, name: str = "say", *, start: float = 20.0) -> McpSpec:
    upstream = Upstream("notes", tuple(script.argv), (("TOKEN", "${secret:key}"),), "", (), (), start, 65_536)
    return McpSpec("mcp", upstream, name, strict_json.digest(definition(listed(name))))


def _connector(means: Means, spec: McpSpec) -> McpConnector:
    connector = connect(tool(spec), means)
    assert isinstance(connector, McpConnector)
    return connector


async def _call(connector: McpConnector, text: str = "", seconds: float = 20) -> object:
    return (await connector.invoke(invocation({"text": text}, timeout=seconds))).value


async def _failure(connector: McpConnector, text: str = "", seconds: float = 20) -> Failed:
    with pytest.raises(Failed) as failed:
        await _call(connector, text, seconds)
    return failed.value


@pytest.mark.holds("upstream:session")
async def test_a_hundred_calls_at_once_are_one_session_and_one_look_at_its_tools(means: Means, script: Script) -> None:
    say = _connector(means, _spec(script))
    assert await asyncio.gather(*(_call(say, str(n)) for n in range(100))) == [{"result": "done"}] * 100
    assert (script.starts, script.calls, script.lists) == (1, 100, 1)


@pytest.mark.holds("upstream:session")
async def test_a_caller_who_leaves_does_not_end_the_start_others_wait_for(means: Means, script: Script) -> None:
    say = _connector(means, _spec(script))
    leaving, staying = asyncio.create_task(_call(say)), asyncio.create_task(_call(say))
    await until(lambda: script.starts == 1)
    leaving.cancel()
    assert await staying == {"result": "done"}
    assert (script.starts, script.calls) == (1, 1)


@pytest.mark.holds("upstream:session")
async def test_closing_while_it_starts_leaves_nothing(means: Means, script: Script) -> None:
    script.does(behaviour="mute")
    calling = asyncio.create_task(_failure(_connector(means, _spec(script))))
    await until(lambda: script.starts == 1)
    await means.aclose()
    assert (await calling).executed == "no"
    assert not lives(script.process)


@pytest.mark.holds("upstream:session")
async def test_a_session_ends_with_the_last_tool_that_used_it(means: Means, script: Script) -> None:
    script.does(tools=[listed("say"), listed("sing")])
    say, sing = _connector(means, _spec(script)), _connector(means, _spec(script, "sing"))
    never_called = _connector(means, _spec(script))
    await _call(say)
    await _call(sing)
    await never_called.aclose()
    await say.aclose()
    await say.aclose()
    assert lives(script.process)
    await sing.aclose()
    assert not lives(script.process)


@pytest.mark.holds("upstream:session")
async def test_a_server_described_otherwise_is_another_session(means: Means, script: Script) -> None:
    spec = _spec(script)
    before = _connector(means, spec)
    after = _connector(means, replace(spec, upstream=replace(spec.upstream, start=19.0)))
    await _call(before)
    first = script.process
    await _call(after)
    await before.aclose()
    assert (lives(first), lives(script.process)) == (False, True)


@pytest.mark.holds("upstream:hostile")
async def test_one_that_dies_again_and_again_is_not_begun_by_every_call(means: Means, script: Script) -> None:
    say = _connector(means, _spec(script))
    script.does(behaviour="die")
    died = [await _failure(say) for _ in range(2)]
    assert [one.executed for one in died] == ["unknown", "unknown"]
    refused = await _failure(say)
    assert (refused.code, refused.executed, refused.retry_after_s) == ("upstream_unavailable", "no", 1)
    assert script.starts == 2


@pytest.mark.holds("upstream:hostile")
async def test_one_that_does_not_answer_any_more_is_replaced(means: Means, script: Script) -> None:
    say = _connector(means, _spec(script, start=2.0))
    await _call(say)
    script.does(behaviour="hang")
    assert (await _failure(say, seconds=0.2)).executed == "unknown"
    hanging = script.process
    assert (await _failure(say, seconds=0.2)).executed == "no", "it is asked first whether it is there"
    script.does(behaviour="")
    await until(lambda: not lives(hanging))
    assert await _call(say) == {"result": "done"}
    assert script.starts == 2


@pytest.mark.holds("upstream:hostile")
async def test_one_that_does_not_read_is_ended(means: Means, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_guard.connect.mcp.stdio.STUCK_SECONDS", 0.3)
    say = _connector(means, _spec(script))
    await _call(say)
    script.does(behaviour="hang")
    failed = await asyncio.gather(*(_failure(say, "x" * 300_000) for _ in range(3)))
    assert {(one.code, one.executed) for one in failed} == {("upstream_unavailable", "unknown")}
    script.does(behaviour="")
    assert await _call(say) == {"result": "done"}


@pytest.mark.holds("upstream:hostile")
@pytest.mark.parametrize("method", ["sampling/createMessage", "elicitation/create", "roots/list", "tools/call", "x"])
async def test_what_a_server_asks_is_refused(means: Means, script: Script, method: str) -> None:
    script.does(behaviour="talk", unasked={"method": method, "params": {}}, asks=True, times=300)
    say = _connector(means, _spec(script))
    assert await _call(say) == {"result": "done"}
    await until(lambda: len(script.told) == 300)
    assert set(script.told) == {"-32601"}


async def test_a_ping_is_answered(means: Means, script: Script) -> None:
    script.does(behaviour="talk", unasked={"method": "ping"}, asks=True, times=1)
    await _call(_connector(means, _spec(script)))
    await until(lambda: list(script.told) == ["fine"])


@pytest.mark.holds("upstream:hostile")
async def test_one_that_does_not_stop_talking(means: Means, script: Script) -> None:
    say = _connector(means, _spec(script))
    script.does(behaviour="talk", unasked=CHATTER, times=1_000)
    assert await _call(say) == {"result": "done"}
    script.does(times=6_000)
    assert (await _failure(say)).code == "upstream_unavailable"
    script.does(behaviour="")
    assert await _call(say) == {"result": "done"}


@pytest.mark.holds("upstream:quarantine")
async def test_one_that_says_that_its_tools_changed_is_looked_at_again(means: Means, script: Script) -> None:
    say = _connector(means, _spec(script))
    script.does(behaviour="talk", unasked=CHANGED, times=1)
    await _call(say)
    script.does(tools=[listed("say", "Something else.")])
    assert (await _failure(say)).code == "quarantined"
    assert (script.starts, script.calls) == (1, 1)


@pytest.mark.skipif(os.name != "posix", reason="there are no process groups")
async def test_what_a_server_leaves_behind_is_killed_and_what_escaped_holds_up_nothing(
    means: Means, script: Script
) -> None:
    script.does(behaviour="leave")
    await _call(_connector(means, _spec(script)))
    kept, escaped = script.left
    async with asyncio.timeout(60):
        await means.aclose()
    await until(lambda: not lives(kept))
    assert lives(escaped)


@pytest.fixture
def notes(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "mcp_guard.upstream")
    logging.getLogger("mcp_guard").propagate = True
    return caplog


@pytest.mark.holds("secrets:nowhere-in-clear", "upstream:hostile")
@pytest.mark.parametrize("before", [0, 1_990, 65_530])
async def test_a_secret_on_stderr_is_not_logged_wherever_it_is_cut(
    means: Means, script: Script, notes: pytest.LogCaptureFixture, before: int
) -> None:
    script.does(behaviour="whisper", words="x" * before + SECRET)
    await _call(_connector(means, _spec(script)))
    await means.aclose()
    said = "".join(record.getMessage() for record in notes.records)
    assert "x" * min(before, 1_900) in said
    assert "upstream-s" not in said


@pytest.mark.holds("upstream:hostile")
async def test_a_server_cannot_fill_the_log(means: Means, script: Script, notes: pytest.LogCaptureFixture) -> None:
    script.does(behaviour="whisper", words="la", times=5_000)
    await _call(_connector(means, _spec(script)))
    await means.aclose()
    assert sum(record.getMessage().endswith(": la") for record in notes.records) == 200
