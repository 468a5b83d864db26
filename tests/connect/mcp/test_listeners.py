"""What a server says while it carries out a call: heard by that call alone, and only in words that can be shown."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.connect.connector import Connector
from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.mcp.listeners import Listeners
from mcp_guard.connect.mcp.screen import MOST_UNASKED
from mcp_guard.kit import strict_json
from mcp_guard.model.back_channel import BackChannel, Move
from mcp_guard.model.tool import McpSpec, Upstream, definition
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver
from tests.connect.tools import invocation, tool
from tests.simulators.mcp_server import Script
from tests.simulators.mcp_server import tool as listed

SECRET = "upstream-s3cret"


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "server")


@pytest.fixture
async def say(tmp_path: Path, script: Script) -> AsyncIterator[Connector]:
    redactor = Redactor()
    resolver = Resolver(tmp_path, {"MCP_GUARD_SECRET_KEY": SECRET}, redactor)
    async with Means.open(tmp_path, resolver, redactor) as means:
        upstream = Upstream("notes", tuple(script.argv), (("TOKEN", "${secret:key}"),), "", (), (), 20.0, 65_536)
        spec = McpSpec("mcp", upstream, "say", strict_json.digest(definition(listed("say"))))
        yield connect(tool(spec), means)


async def _call(say: Connector, heard: list[Move] | None = None, seconds: float = 20, text: str = "") -> object:
    back = BackChannel() if heard is None else BackChannel(heard.append)
    called = replace(invocation({"text": text}, timeout=seconds), back=back)
    return (await say.invoke(called)).value


@pytest.mark.holds("upstream:progress")
async def test_a_server_is_asked_only_where_somebody_listens(say: Connector, script: Script) -> None:
    script.does(moves=[{"progress": 1, "total": 2, "message": "half"}])
    heard: list[Move] = []
    await _call(say)
    await _call(say, heard)
    assert heard == [Move(1.0, 2.0, "half")]
    first, second = script.tokens[0], script.tokens[-1]
    assert first is None
    assert second


@pytest.mark.holds("upstream:progress")
async def test_a_call_hears_of_itself_alone(say: Connector, script: Script) -> None:
    heard: dict[str, list[Move]] = {"a": [], "b": []}
    script.does(moves=[{"progress": 1}, {"progress": 2, "progressToken": "guessed"}, {"progress": 2}])
    await asyncio.gather(*(_call(say, heard[name], text=name) for name in heard))
    assert {name: [move.progress for move in moves] for name, moves in heard.items()} == {"a": [1, 2], "b": [1, 2]}
    tokens = [token for token in script.tokens if token]
    script.does(moves=[{"progress": 3, "progressToken": token} for token in tokens])
    other: list[Move] = []
    await _call(say, other)
    assert (other, len(heard["a"]), len(heard["b"])) == ([], 2, 2), "a token dies with its call"


@pytest.mark.holds("upstream:progress")
async def test_nothing_is_heard_after_the_answer(say: Connector, script: Script) -> None:
    heard: list[Move] = []
    script.does(late=[{"progress": 9}])
    await _call(say, heard)
    script.does(late=[])
    await _call(say)
    assert heard == []


@pytest.mark.holds("upstream:progress", "secrets:nowhere-in-clear")
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("reading\u202e the\u200b file", "reading the file"),
        ("two\nlines\tand \x1b[2J", "two lines and <U+001B>[2J"),
        (f"with {SECRET}", "with [redacted]"),
        (f"with {SECRET[:4]}\u200b{SECRET[4:]}", "with [redacted]"),
        ("x" * 290 + SECRET, "x" * 290 + "[redacted]"),
        ("y" * 1_999, "y" * 300),
        ("z" * 2_001, None),
        ("\u200b", None),
        (7, None),
        (None, None),
    ],
)
async def test_words_are_screened(say: Connector, script: Script, said: object, shown: str | None) -> None:
    heard: list[Move] = []
    script.does(moves=[{"progress": 1, "message": said}])
    await _call(say, heard)
    assert [move.message for move in heard] == [shown]


@pytest.mark.holds("upstream:progress")
@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        {"progress": "1"},
        {"progress": True},
        {"progress": -1},
        {"progress": float("inf")},
        {"progress": float("nan")},
        {"progress": 10**400},
        {"progress": None},
        {"progress": 1, "progressToken": ["t"]},
        {"progress": 1, "progressToken": {}},
        {"progress": 1, "progressToken": None},
    ],
)
def test_what_says_nothing_is_dropped(params: dict[str, Any] | None) -> None:
    listeners = Listeners()
    heard: list[Move] = []
    with listeners.hearing(heard.append) as token:
        listeners.progress(None if params is None else {"progressToken": token, **params})
    assert heard == []


@pytest.mark.holds("upstream:progress")
@pytest.mark.parametrize("total", ["2", True, -1, float("nan"), 10**400])
def test_a_total_that_is_none_is_left_out(total: object) -> None:
    listeners = Listeners()
    heard: list[Move] = []
    with listeners.hearing(heard.append) as token:
        listeners.progress({"progressToken": token, "progress": 1, "total": total})
    assert heard == [Move(1.0, None, None)]


@pytest.mark.holds("upstream:progress", "upstream:hostile")
async def test_progress_keeps_no_call_alive(say: Connector, script: Script) -> None:
    heard: list[Move] = []
    await _call(say)
    moves: list[Mapping[str, object]] = [{"progress": 1}, {"progress": 2, "wait": "never"}]
    script.does(moves=moves)
    with pytest.raises(Failed) as failed:
        await _call(say, heard, seconds=0.5)
    assert (failed.value.code, failed.value.executed) == ("upstream_timeout", "unknown")
    script.go("never")
    script.does(moves=[])
    await _call(say)
    assert [move.progress for move in heard] == [1]


@pytest.mark.holds("upstream:progress", "upstream:hostile")
async def test_one_that_floods_with_progress_loses_its_session(say: Connector, script: Script) -> None:
    heard: list[Move] = []
    script.does(moves=[{"progress": n} for n in range(6_000)])
    with pytest.raises(Failed) as failed:
        await _call(say, heard)
    assert (failed.value.code, failed.value.executed) == ("upstream_unavailable", "unknown")
    assert len(heard) <= MOST_UNASKED
