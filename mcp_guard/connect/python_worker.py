"""The `python` connector with `worker: true`: each call of the function runs in a process of its own.

Nothing of one call is left for the next, and what goes wrong ends the process and not the server: a crash, a timeout
and too much memory are answers like others, with `executed: unknown`. The process sees the declared variables and
none of the server's; it has limits, and nothing it started outlives the call.
"""

import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import cast

from mcp_guard.connect.answer import bounded
from mcp_guard.connect.environment import Environment
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.process import Ended, Program, Running
from mcp_guard.connect.supervised import Supervised, workplace
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
    ) -> None:
        self._spec = spec
        self._worker = worker
        self._redactor = redactor
        self._home = home
        self._runs = Supervised(Environment(worker.env, obtain), LARGEST_RESULT + _ROOM, self._run)

    async def invoke(self, invocation: Invocation) -> Reply:
        return Reply(self._redactor.value(self._answer(await self._runs.carry_out(invocation))))

    async def aclose(self) -> None:
        self._runs.close()

    def _run(self, invocation: Invocation, env: Mapping[str, str], running: Running) -> Ended:
        worker = self._worker
        order = {
            "home": str(self._home),
            "function": self._spec.function,
            "built": list(self._spec.built),
            "variables": list(env),
            "arguments": dict(invocation.arguments),
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
