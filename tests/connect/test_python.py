import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.python import PythonConnector
from mcp_guard.connect.threads import MAX_THREADS
from mcp_guard.model.tool import PythonSpec
from tests.connect import functions
from tests.connect.tools import invocation, tool, until


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    functions.calls.clear()
    functions.release.clear()
    path = list(sys.path)
    yield
    functions.release.set()
    sys.path[:] = path


def made(means: Means, name: str) -> PythonConnector:
    full = name if ":" in name else f"tests.connect.functions:{name}"
    connector = connect(tool(PythonSpec("python", full)), means)
    assert isinstance(connector, PythonConnector)
    return connector


async def run(means: Means, name: str, arguments: Mapping[str, object] | None = None, seconds: float = 5.0) -> object:
    return (await made(means, name).invoke(invocation(arguments, timeout=seconds))).value


async def failure(
    means: Means, name: str, arguments: Mapping[str, object] | None = None, seconds: float = 5.0
) -> Failed:
    with pytest.raises(Failed) as failed:
        await run(means, name, arguments, seconds)
    return failed.value


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [
        ("add", {"a": 2, "b": 3}, 5),
        ("add", {"a": 2}, 2),
        ("add_later", {"a": 2, "b": 3}, {"sum": 5}),
        ("Methods.inner", {}, "inner"),
        ("identity", {"value": {"a": [1, 2.5, None, True, "é"]}}, {"a": [1, 2.5, None, True, "é"]}),
        ("identity", {"value": None}, None),
    ],
)
async def test_a_function_is_called_by_keyword(
    means: Means, name: str, arguments: dict[str, object], value: object
) -> None:
    assert await run(means, name, arguments) == value


async def test_a_function_of_the_home_is_found_and_never_shadows_a_module(means: Means) -> None:
    (means.home / "desk_tools.py").write_text("def greet(name):\n    return f'hello {name}'\n")
    (means.home / "json.py").write_text("raise RuntimeError('a module of the server was replaced')\n")
    assert await run(means, "desk_tools:greet", {"name": "alice"}) == "hello alice"
    assert sys.path.index(str(means.home)) == len(sys.path) - 1
    made(means, "desk_tools:greet")
    assert sys.path.count(str(means.home)) == 1
    sys.modules.pop("desk_tools")


async def test_nothing_is_imported_before_the_first_call(means: Means, tmp_path: Path) -> None:
    (means.home / "desk_marks.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\ndef f(): return 1\n")
    connector = made(means, "desk_marks:f")
    assert not (tmp_path / "imported").exists()
    await connector.invoke(invocation())
    assert (tmp_path / "imported").exists()
    sys.modules.pop("desk_marks")


async def test_a_function_gets_its_own_copy_of_the_arguments(means: Means) -> None:
    items: list[object] = [1]
    assert await run(means, "change", {"items": items}) == [1, "changed"]
    assert items == [1]


async def test_a_plain_function_runs_beside_the_loop_in_the_same_context(means: Means) -> None:
    functions.context.set("seen")
    assert await run(means, "thread_and_context") == [False, "seen"]


@pytest.mark.parametrize("name", ["where_am_i", "where_am_i_later"])
async def test_a_function_knows_the_home_it_belongs_to(means: Means, name: str) -> None:
    assert await run(means, name) == str(means.home)


# --- what comes back


@pytest.mark.holds("python:json-only")
@pytest.mark.parametrize("which", sorted(functions.NOT_JSON))
async def test_what_is_not_json_is_refused(means: Means, which: str) -> None:
    failed = await failure(means, "not_json", {"which": which})
    assert (failed.code, failed.executed) == ("upstream_bad_response", "yes")


async def test_too_much_is_refused(means: Means) -> None:
    assert (await failure(means, "large")).code == "upstream_too_large"


@pytest.mark.holds("secrets:redacted")
async def test_a_secret_in_a_result_is_redacted(means: Means) -> None:
    means.redactor.learn(functions.SECRET)
    assert await run(means, "leak") == {"note": "the key is [redacted]"}


# --- exceptions


@pytest.mark.holds("python:exceptions-stay-inside")
@pytest.mark.parametrize(
    "name", ["fail", "fail_later", "leave", "leave_later", "stop", "cancel_itself", "time_out", "not_json", "identity"]
)
async def test_an_exception_is_told_to_the_operator_only(
    means: Means, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    means.redactor.learn(functions.SECRET)
    arguments = (
        {"unexpected": "argument-value"} if name == "identity" else {"which": "unknown"} if name == "not_json" else {}
    )
    with caplog.at_level(logging.ERROR):
        failed = await failure(means, name, arguments)
    assert (failed.code, failed.executed, failed.reason) == ("upstream_error", "unknown", "the tool's function failed")
    assert failed.transient is None
    assert " failed: " in caplog.text
    assert ".py:" in caplog.text
    assert "Traceback" not in caplog.text
    assert functions.SECRET not in caplog.text
    assert "argument-value" not in caplog.text
    assert "argument-value" not in str(vars(failed))
    assert await run(means, "add", {"a": 1}) == 1


@pytest.mark.holds("python:exceptions-stay-inside")
async def test_a_tool_error_is_told_to_the_agent_bounded_and_redacted(means: Means) -> None:
    means.redactor.learn(functions.SECRET)
    failed = await failure(means, "tell")
    assert failed.reason.startswith("no such order; key [redacted];")
    assert len(failed.reason) <= 300
    assert (failed.code, failed.executed) == ("upstream_error", "unknown")
    assert (await failure(means, "tell_unexecuted")).executed == "no"


@pytest.mark.parametrize(
    "name",
    [
        "nowhere.at.all:f",
        "tests.connect.functions:missing",
        "tests.connect.functions:not_a_function",
        "broken_module:f",
        "leaving_module:f",
    ],
)
async def test_what_cannot_be_imported_is_unavailable(means: Means, name: str) -> None:
    (means.home / "broken_module.py").write_text("this is not python")
    (means.home / "leaving_module.py").write_text("raise SystemExit(1)")
    failed = await failure(means, name)
    assert (failed.code, failed.executed, failed.retry) == ("upstream_unavailable", "no", "never")


# --- time


@pytest.mark.parametrize("name", ["wait_for_release", "wait_for_ever"])
async def test_a_function_out_of_time_is_not_waited_for(means: Means, name: str) -> None:
    failed = await failure(means, name, seconds=0.1)
    assert (failed.code, failed.transient, failed.executed) == ("upstream_timeout", "timeout", "unknown")
    assert await run(means, "add", {"a": 1}) == 1
    functions.release.set()


@pytest.fixture
async def stuck(means: Means) -> AsyncIterator[PythonConnector]:
    connector = made(means, "wait_for_release")
    for _ in range(MAX_THREADS):
        with pytest.raises(Failed):
            await connector.invoke(invocation(timeout=0.001))
    yield connector
    functions.release.set()


async def test_threads_that_do_not_return_are_bounded_and_come_back(stuck: PythonConnector) -> None:
    with pytest.raises(Failed) as failed:
        await stuck.invoke(invocation(timeout=5))
    assert (failed.value.code, failed.value.executed) == ("upstream_unavailable", "no")
    functions.release.set()
    await until(lambda: stuck._threads.busy == 0)
    assert (await stuck.invoke(invocation())).value == "late"


@pytest.mark.parametrize("name", ["wait_for_ever", "wait_for_release"])
async def test_cancellation_goes_through(means: Means, name: str) -> None:
    task = asyncio.create_task(run(means, name))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_lets_idle_threads_end(means: Means) -> None:
    connector = made(means, "which_thread")
    used = (await connector.invoke(invocation())).value
    assert used in [thread.ident for thread in threading.enumerate()]
    await connector.aclose()
    await until(lambda: used not in [thread.ident for thread in threading.enumerate()])
