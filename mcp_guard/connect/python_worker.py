"""The `python` connector with `worker: true`: each call of the function runs in a process of its own.

Nothing of one call is left for the next, and what goes wrong ends the process and not the server: a crash, a timeout
and too much memory are answers like others, with `executed: unknown`. The process sees the declared variables and
none of the server's; it has limits, and nothing it started outlives the call. With `warm` some wait for the next calls.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

from mcp_guard.connect.answer import bounded
from mcp_guard.connect.attempts import timed_out
from mcp_guard.connect.environment import Environment
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.process import Ended, Program, Running
from mcp_guard.connect.spares import Spare, Spares
from mcp_guard.connect.supervised import Supervised, workplace
from mcp_guard.connect.threads import Threads
from mcp_guard.kit import strict_json
from mcp_guard.kit.references import Reference
from mcp_guard.kit.text import visible
from mcp_guard.model.call import Invocation, Reply
from mcp_guard.model.codes import Code, Executed
from mcp_guard.model.errors import Refused
from mcp_guard.model.kept import LARGEST_RESULT
from mcp_guard.model.tool import PythonSpec, WorkerSpec
from mcp_guard.secrets.redact import Redactor

_WORKER = Path(__file__).with_name("worker.py")
_ROOM = 64 * 1024  # for what stands around a result
_MAX_LOGGED = 4096

_log = logging.getLogger("mcp_guard.connect")


class WorkerConnector:
    """Starts a process for each call, in a thread's care."""

    def __init__(
        self,
        spec: PythonSpec,
        worker: WorkerSpec,
        obtain: Callable[[Reference], Awaitable[str]],
        redactor: Redactor,
        home: Path,
        *,
        longest: float,
    ) -> None:
        """`longest` is the tool's timeout, in seconds."""
        self._spec = spec
        self._worker = worker
        self._redactor = redactor
        self._home = home
        self._environment = Environment(worker.env, obtain)
        self._runs = Supervised(self._environment, LARGEST_RESULT + _ROOM, self._run)
        self._threads = Threads()
        self._spares = Spares(worker.warm, LARGEST_RESULT + _ROOM, longest, self._wait, self._threads)

    async def invoke(self, invocation: Invocation) -> Reply:
        ended = await (self._runs.carry_out(invocation) if self._worker.warm == 0 else self._warm(invocation))
        return Reply(self._redactor.value(self._answer(ended)))

    async def aclose(self) -> None:
        self._runs.close()
        self._spares.close()
        self._threads.close()

    async def _warm(self, invocation: Invocation) -> Ended:
        """A call by a worker that waits for one, or where there is none by one of its own. Raises `Refused`."""
        started = time.monotonic()
        env = await self._environment.values(invocation.timeout)
        spare = self._spares.take(env)
        try:
            ended = None if spare is None else await self._given(spare, invocation, started)
            if ended is None:
                left = invocation.timeout - (time.monotonic() - started)
                ended = await self._runs.carry_out(replace(invocation, timeout=left))
            return ended
        finally:
            self._spares.refill(env)

    async def _given(self, spare: Spare, invocation: Invocation, started: float) -> Ended | None:
        """How a worker ended that was given the call; `None` where it did not take it, and so did nothing."""
        limit = asyncio.timeout(invocation.timeout - (time.monotonic() - started))
        try:
            async with limit:
                given = await self._threads.start(partial(spare.give, strict_json.dumps(dict(invocation.arguments))))
                if given.error is not None:
                    return None
                outcome = await spare.work
        except TimeoutError:
            if not limit.expired():
                raise
            reason = timed_out(invocation.timeout)
            raise Failed("upstream_timeout", reason, transient="timeout", executed="unknown") from None
        finally:
            spare.running.abandon()  # without effect once it has ended
        if outcome.error is not None:
            raise outcome.error
        return cast(Ended, outcome.value)

    def _run(self, invocation: Invocation, env: Mapping[str, str], running: Running) -> Ended:
        return self._start(env, running, {"arguments": dict(invocation.arguments)})

    def _wait(self, env: Mapping[str, str], running: Running, pipe: str) -> Ended:
        return self._start(env, running, {"pipe": pipe})

    def _start(self, env: Mapping[str, str], running: Running, given: Mapping[str, object]) -> Ended:
        worker = self._worker
        order = {
            "home": str(self._home),
            "function": self._spec.function,
            "built": list(self._spec.built),
            "variables": list(env),
            **given,
        }
        argv = (sys.executable, "-I", "-B", "-X", "utf8", str(_WORKER))
        with workplace(worker.cwd or None) as directory:
            return running.run(Program(sys.executable, argv, env, directory, worker.limits, strict_json.dumps(order)))

    def _answer(self, ended: Ended) -> object:
        printed = ended.errors.decode("utf-8", "replace")
        if printed:
            self._tell(logging.WARNING, "printed", printed)
        try:
            answer = strict_json.loads(ended.output) if ended.status == 0 else None
        except strict_json.JsonError:
            answer = None
        if not isinstance(answer, dict) or "kind" not in answer:
            raise Failed("upstream_error", "the tool's function ended its process", executed="unknown")
        if answer["kind"] == "value":
            return answer["value"]
        raise self._failure(answer)

    def _failure(self, answer: Mapping[str, object]) -> Refused:
        kind, text = answer["kind"], str(answer["text"])
        executed = cast(Executed, answer.get("executed", "unknown"))
        if kind == "tool_error":
            return Failed("upstream_error", bounded(visible(self._redactor.text(text))), executed=executed)
        if kind in ("failed", "refused"):
            return Failed(cast(Code, answer["code"]), text, executed=executed)
        self._tell(logging.ERROR, "cannot be imported" if kind == "import" else "failed", text)
        if kind == "import":
            return Failed("upstream_unavailable", "the tool's function cannot be imported", retry="never")
        return Failed("upstream_error", "the tool's function failed", executed="unknown")

    def _tell(self, level: int, what: str, text: str) -> None:
        """Tell the operator. Redacted before it is cut, so that no half of a secret is left."""
        _log.log(level, "function %s %s:\n%s", self._spec.function, what, self._redactor.text(text)[-_MAX_LOGGED:])
