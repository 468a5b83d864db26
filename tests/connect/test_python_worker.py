"""A function in a process of its own: the same answers as inside the server, and nothing that ends the server."""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.python_worker import WorkerConnector
from mcp_guard.connect.spares import Spare
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import ProcessLimits, PythonSpec, WorkerSpec
from tests.connect.tools import invocation, tool, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are not for Windows")

SOURCE = """
import asyncio, os, sys, time
from dataclasses import dataclass, field
from mcp_guard.connect.python import ToolError, current_home

calls = []


@dataclass
class Line:
    sku: str
    count: int = 1


@dataclass
class Order:
    lines: list[Line]
    note: str | None = None


def add(a, b=0):
    calls.append(1)
    print("adding")
    return {"sum": a + b, "calls": len(calls)}


async def add_later(a, b=0):
    await asyncio.sleep(0)
    return a + b


def total(order: Order) -> int:
    return sum(line.count for line in order.lines)


def surroundings():
    return {"home": str(current_home.get()), "env": dict(os.environ), "cwd": os.listdir("."), "in": sys.stdin.read()}


def end(how):
    if how == "exit":
        sys.exit(0)
    if how == "hard":
        os._exit(0)
    if how == "abort":
        os.abort()
    if how == "fork":
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(3)
    if how == "protocol":
        os.write(1, b'{"kind": "value", "value": "not through here"}')
        os._exit(0)
    if how == "tool":
        raise ToolError("no such order s3cret-value-of-the-test", executed="no")
    if how == "raise":
        raise ValueError("s3cret-value-of-the-test")
    if how == "nan":
        return float("nan")
    if how == "large":
        return "x" * 9_000_000
    if how == "memory":
        return len(bytearray(10**10))
    while True:
        open("pid", "w").write(str(os.getpid()))
        time.sleep(1000)


def leak():
    return os.environ["KEY"]
"""


@pytest.fixture(autouse=True)
def _module(means: Means) -> None:
    (means.home / "desk_worker.py").write_text(SOURCE)


def made(means: Means, name: str, *built: str, cwd: Path | None = None, **env: str) -> WorkerConnector:
    worker = WorkerSpec(str(cwd) if cwd else None, tuple(env.items()), ProcessLimits(cpu=20))
    connector = connect(tool(PythonSpec("python", f"desk_worker:{name}", built, worker)), means)
    assert isinstance(connector, WorkerConnector)
    return connector


async def run(means: Means, name: str, arguments: Mapping[str, object] | None = None, *built: str) -> object:
    return (await made(means, name, *built).invoke(invocation(arguments, timeout=20.0))).value


async def failure(means: Means, how: str, *, seconds: float = 20.0) -> Refused:
    with pytest.raises(Refused) as refused:
        await made(means, "end").invoke(invocation({"how": how}, timeout=seconds))
    return refused.value


async def test_a_function_answers_as_inside_the_server(means: Means) -> None:
    assert await run(means, "add", {"a": 2, "b": 3}) == {"sum": 5, "calls": 1}
    assert await run(means, "add", {"a": 2}) == {"sum": 2, "calls": 1}  # nothing is left of the call before
    assert await run(means, "add_later", {"a": 2, "b": 3}) == 5


async def test_dataclasses_are_built(means: Means) -> None:
    order = {"lines": [{"sku": "a", "count": 2}, {"sku": "b"}]}
    assert await run(means, "total", {"order": order}, "order") == 3
    with pytest.raises(Refused) as refused:
        await run(means, "total", {"order": {"lines": 7}}, "order")
    assert (refused.value.code, refused.value.executed) == ("args_invalid", "no")


@pytest.mark.holds("python:worker")
async def test_a_worker_sees_what_is_declared(means: Means, environ: dict[str, str], tmp_path: Path) -> None:
    environ["MCP_GUARD_SECRET_KEY"] = "s3cret-value-of-the-test"
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "data").touch()
    found = await run(means, "surroundings")
    assert found == {"home": str(means.home), "env": {}, "cwd": [], "in": ""}
    connector = made(means, "surroundings", cwd=tmp_path / "work", A="1")
    assert (await connector.invoke(invocation())).value == {
        "home": str(means.home),
        "env": {"A": "1"},
        "cwd": ["data"],
        "in": "",
    }
    assert (await made(means, "leak", KEY="${secret:key}").invoke(invocation())).value == "[redacted]"


@pytest.mark.holds("python:worker")
@pytest.mark.parametrize("how", ["hard", "abort", "fork", "protocol"])
async def test_a_worker_that_ends_is_a_failed_call(means: Means, how: str) -> None:
    failed = await failure(means, how)
    assert (failed.code, failed.executed) == ("upstream_error", "unknown")
    assert await run(means, "add", {"a": 1}) == {"sum": 1, "calls": 1}


@pytest.mark.holds("python:worker")
@pytest.mark.parametrize("how", ["exit", "memory"])
async def test_what_a_function_raises_is_its_failure(means: Means, how: str) -> None:
    failed = await failure(means, how)
    assert (failed.code, failed.executed, failed.reason) == (
        "upstream_error",
        "unknown",
        "the tool's function failed",
    )


@pytest.mark.holds("python:exceptions-stay-inside", "python:worker")
async def test_an_exception_is_for_the_operator(means: Means, caplog: pytest.LogCaptureFixture) -> None:
    means.redactor.learn("s3cret-value-of-the-test")
    with caplog.at_level(logging.WARNING):
        failed = await failure(means, "raise")
        assert failed.reason == "the tool's function failed"
        told = await failure(means, "tool")
        assert (told.reason, told.executed) == ("no such order [redacted]", "no")
        await run(means, "add", {"a": 1})
    assert "failed:\nValueError at desk_worker.py:" in caplog.text
    assert "Traceback" not in caplog.text
    assert "adding" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.holds("python:json-only")
async def test_what_is_not_json_or_too_large_is_refused(means: Means) -> None:
    assert (await failure(means, "nan")).code == "upstream_bad_response"
    assert (await failure(means, "large")).code == "upstream_too_large"


@pytest.mark.holds("python:worker")
async def test_a_worker_that_never_ends_is_ended(means: Means, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    connector = made(means, "end", cwd=work)
    task = asyncio.create_task(connector.invoke(invocation({"how": "wait"}, timeout=60.0)))
    pid = work / "pid"
    await until(lambda: pid.exists() and pid.read_text() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    def gone() -> bool:
        try:
            os.kill(int(pid.read_text()), 0)
        except ProcessLookupError:
            return True
        return False

    await until(gone)
    failed = await failure(means, "wait", seconds=1.0)
    assert (failed.code, failed.executed) == ("upstream_timeout", "unknown")


async def test_a_function_that_is_not_there_was_not_executed(means: Means) -> None:
    with pytest.raises(Refused) as refused:
        await run(means, "nothing")
    assert (refused.value.code, refused.value.executed) == ("upstream_unavailable", "no")


# --- workers that wait


def warm(means: Means, name: str, count: int = 2, **env: str) -> WorkerConnector:
    worker = WorkerSpec(None, tuple(env.items()), ProcessLimits(cpu=20), warm=count)
    connector = connect(tool(PythonSpec("python", f"desk_worker:{name}", (), worker)), means)
    assert isinstance(connector, WorkerConnector)
    return connector


def waiting(connector: WorkerConnector) -> list[Spare]:
    return connector._spares._waiting


async def ready(connector: WorkerConnector, count: int = 2) -> None:
    """Wait until so many workers can take their arguments."""

    def takes(spare: Spare) -> bool:
        try:
            os.close(os.open(spare.pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    await until(lambda: len(waiting(connector)) == count and all(map(takes, waiting(connector))))


@pytest.mark.holds("python:warm")
async def test_a_worker_that_waits_takes_the_next_call_and_only_that(means: Means) -> None:
    connector = warm(means, "add")
    assert (await connector.invoke(invocation({"a": 1}, timeout=20.0))).value == {"sum": 1, "calls": 1}
    await ready(connector)
    taken = waiting(connector)[0]
    assert (await connector.invoke(invocation({"a": 2, "b": 3}, timeout=20.0))).value == {"sum": 5, "calls": 1}
    assert taken.work.done()
    assert taken not in waiting(connector)
    await ready(connector)
    large = "x" * 300_000  # more than a pipe holds at once
    assert (await connector.invoke(invocation({"a": large, "b": ""}, timeout=20.0))).value == {"sum": large, "calls": 1}
    spares = list(waiting(connector))
    await connector.aclose()
    await until(lambda: all(spare.work.done() for spare in spares))
    assert not [spare for spare in spares if Path(spare.pipe).parent.exists()]


@pytest.mark.holds("python:warm")
async def test_calls_run_side_by_side_and_more_than_wait_are_started(means: Means) -> None:
    connector = warm(means, "add")
    await connector.invoke(invocation({"a": 0}, timeout=20.0))
    await ready(connector)
    calls = [connector.invoke(invocation({"a": n}, timeout=60.0)) for n in range(5)]
    answers = [reply.value for reply in await asyncio.gather(*calls)]
    assert answers == [{"sum": n, "calls": 1} for n in range(5)]
    assert len(waiting(connector)) <= 2
    await connector.aclose()


@pytest.mark.holds("python:warm")
async def test_time_is_up_for_a_waiting_worker_as_for_any_other(means: Means) -> None:
    connector = warm(means, "end")
    with pytest.raises(Refused):
        await connector.invoke(invocation({"how": "hard"}, timeout=20.0))
    await ready(connector)
    taken = waiting(connector)[0]
    with pytest.raises(Failed) as failed:
        await connector.invoke(invocation({"how": "hang"}, timeout=0.5))
    assert (failed.value.code, failed.value.executed) == ("upstream_timeout", "unknown")
    await until(taken.work.done)
    for how in ("fork", "protocol"):
        await ready(connector)
        with pytest.raises(Refused) as refused:
            await connector.invoke(invocation({"how": how}, timeout=20.0))
        assert refused.value.executed == "unknown", how
    await connector.aclose()


@pytest.mark.holds("python:warm")
async def test_a_worker_that_waits_with_another_secret_or_too_long_is_not_used(
    means: Means, environ: dict[str, str]
) -> None:
    environ["MCP_GUARD_SECRET_KEY"] = "first-value-of-the-test"
    connector = warm(means, "leak", KEY="${secret:key}")
    await connector.invoke(invocation({}, timeout=20.0))
    await ready(connector)
    old = list(waiting(connector))
    environ["MCP_GUARD_SECRET_KEY"] = "other-value-of-the-test"
    assert (await connector.invoke(invocation({}, timeout=20.0))).value == "[redacted]"
    await until(lambda: all(spare.work.done() for spare in old))
    await ready(connector)
    late = waiting(connector)[0]
    waiting(connector)[0] = replace(late, until=0.0)
    await connector.invoke(invocation({}, timeout=20.0))
    await until(late.work.done)
    await connector.aclose()
