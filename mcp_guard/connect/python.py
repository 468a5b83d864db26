"""The `python` connector: a function of the home, called with the tool's arguments by keyword.

A coroutine function runs on the event loop and is cancelled at its timeout; the call ends when it has ended. Any other
function runs in a thread of its own; Python cannot stop a thread, so one that exceeds its timeout keeps its thread
until it returns, and the call ends without it. Either way the call then says `executed: unknown`.

What a function returns must be plain JSON. What it raises is not shown to the agent, except for `ToolError`, whose
message is meant to be.
"""

import asyncio
import importlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import cast

from mcp_guard.connect.answer import bounded
from mcp_guard.connect.attempts import timed_out
from mcp_guard.connect.building import Builders
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.threads import Outcome, Threads
from mcp_guard.kit import strict_json
from mcp_guard.kit.raised import kind_and_place
from mcp_guard.kit.text import visible
from mcp_guard.model.call import Invocation, Reply
from mcp_guard.model.codes import Executed
from mcp_guard.model.kept import LARGEST_RESULT
from mcp_guard.model.tool import PythonSpec
from mcp_guard.secrets.redact import Redactor

_log = logging.getLogger("mcp_guard.connect")

current_home: ContextVar[Path] = ContextVar("current_home")
"""For a tool's function: the home whose tool it is."""

Function = Callable[..., object]


class ToolError(Exception):
    """Raise this in a tool's function to tell the agent what is wrong.

    The message is shown, bounded and redacted. Say `executed="no"` where nothing was changed before it was raised.
    """

    def __init__(self, message: str, *, executed: Executed = "unknown") -> None:
        super().__init__(message)
        self.message = message
        self.executed: Executed = executed


class PythonConnector:
    """Imports the function at the first call: importing runs code, and commands that do not call must not."""

    def __init__(self, spec: PythonSpec, redactor: Redactor, home: Path | None = None) -> None:
        self._home = home
        self._name = spec.function
        self._built = spec.built
        self._builders = Builders({})
        self._redactor = redactor
        self._function: Function | None = None
        self._threads = Threads()

    async def invoke(self, invocation: Invocation) -> Reply:
        if self._home is not None:
            current_home.set(self._home)
        function = self._function or await self._load()
        # The function gets a copy: what it does to its arguments must not change what is on record.
        arguments = cast(dict[str, object], strict_json.loads(strict_json.dumps(dict(invocation.arguments))))
        arguments = self._builders.build(arguments)
        try:
            async with asyncio.timeout(invocation.timeout):
                outcome = await self._call(function, arguments)
        except TimeoutError:
            raise Failed(
                "upstream_timeout", timed_out(invocation.timeout), transient="timeout", executed="unknown"
            ) from None
        if outcome.error is not None:
            raise self._failure(outcome.error)
        return Reply(self._redactor.value(plain_json(outcome.value)))

    async def aclose(self) -> None:
        """A function that outlived its call is not waited for."""
        self._threads.close()

    async def _call(self, function: Function, arguments: Mapping[str, object]) -> Outcome:
        if inspect.iscoroutinefunction(function):
            return await _carried(function, arguments)
        return await self._threads.start(partial(function, **arguments))

    async def _load(self) -> Function:
        outcome = await self._threads.start(self._find)
        if outcome.error is not None:
            self._record(outcome.error, "cannot be imported")
            raise Failed("upstream_unavailable", "the tool's function cannot be imported", retry="never")
        self._function, self._builders = cast(tuple[Function, Builders], outcome.value)
        return self._function

    def _find(self) -> tuple[Function, Builders]:
        function = find(self._name)
        return function, Builders.of(function, self._built)

    def _failure(self, error: BaseException) -> Failed:
        if isinstance(error, ToolError):
            text = bounded(visible(self._redactor.text(error.message)))
            return Failed("upstream_error", text, executed=error.executed)
        self._record(error, "failed")
        return Failed("upstream_error", "the tool's function failed", executed="unknown")

    def _record(self, error: BaseException, what: str) -> None:
        """Tell the operator what and where, without its text: exceptions quote what they were given."""
        _log.error("function %s %s: %s", self._name, what, kind_and_place(error))


def find(name: str) -> Function:
    """The function `module:function` names. Raises what importing raises, and `TypeError` where it is no function."""
    module, _, path = name.partition(":")
    found: object = importlib.import_module(module)
    for attribute in path.split("."):
        found = getattr(found, attribute)
    if not callable(found):
        raise TypeError(f"{name} is not a function")
    return found


async def _carried(function: Function, arguments: Mapping[str, object]) -> Outcome:
    """Await and carry the exception: a function's SystemExit or CancelledError is its failure, not the server's."""
    task = asyncio.current_task()
    assert task is not None
    try:
        return Outcome(await cast(Awaitable[object], function(**arguments)))
    except asyncio.CancelledError as error:
        if task.cancelling():
            raise
        return Outcome(error=error)
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 - a tool's KeyboardInterrupt is its failure too, not the server's end
        return Outcome(error=error)


def plain_json(value: object) -> object:
    """`value` as JSON reads it back. Raises `Failed` where that is not the same value, or it is too large."""
    try:
        data = strict_json.dumps(value)
        read = strict_json.loads(data)
    except (TypeError, strict_json.JsonError):
        raise _bad() from None
    if len(data) > LARGEST_RESULT:
        raise Failed("upstream_too_large", f"the answer is larger than {LARGEST_RESULT} bytes", executed="yes")
    if read != value:  # orjson writes NaN as null, dates and dataclasses as something else
        raise _bad()
    return read


def _bad() -> Failed:
    return Failed("upstream_bad_response", "the tool's function returned something that is not JSON", executed="yes")
