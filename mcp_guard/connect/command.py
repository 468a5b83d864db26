"""The `command` connector: a program with its arguments, never a shell.

It gets an environment of the declared variables and nothing else, no input, a directory of its own or the declared
one, limits, and a sandbox where the manifest wants it. The result is `{"exit": n, "stdout", "stderr"}`; outputs are
read as UTF-8, and what is not UTF-8 shows as U+FFFD. A program that is ended by a signal, by its time or by the size
of what it says has not answered: nobody knows what it did.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from mcp_guard.connect.answer import bounded
from mcp_guard.connect.argv import Elements
from mcp_guard.connect.environment import Environment
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.process import Ended, Program, Running
from mcp_guard.connect.supervised import Supervised, workplace
from mcp_guard.kit.programs import Bubble, bubblewrap
from mcp_guard.kit.references import Reference
from mcp_guard.kit.text import strip_hidden, visible
from mcp_guard.model.call import Invocation, Reply
from mcp_guard.model.tool import CommandSpec
from mcp_guard.secrets.redact import Redactor

_INSIDE = "/tmp"  # noqa: S108 - of the sandbox: empty, and gone with it
_SIGNALS = {9: "it was ended", 24: "it used more processor time than it may", 25: "it wrote more than it may"}


class CommandConnector:
    """Runs each call's program in a thread's care. `forbidden` says which absolute paths no argument may lead to.

    Raises `ValueError` for templates that no manifest check would have let through.
    """

    def __init__(
        self,
        spec: CommandSpec,
        obtain: Callable[[Reference], Awaitable[str]],
        redactor: Redactor,
        forbidden: Callable[[str], bool],
    ) -> None:
        self._spec = spec
        self._elements = Elements.of(spec, forbidden)
        self._redactor = redactor
        self._runs = Supervised(Environment(spec.env, obtain), spec.max_bytes, self._run)

    async def invoke(self, invocation: Invocation) -> Reply:
        return Reply(self._redactor.value(self._result(await self._runs.carry_out(invocation))))

    async def aclose(self) -> None:
        self._runs.close()

    def _run(self, invocation: Invocation, env: Mapping[str, str], running: Running) -> Ended:
        spec = self._spec
        self._check_pin()
        with workplace(spec.cwd or (_INSIDE if spec.sandbox else None)) as directory:
            elements = self._elements.render(invocation.arguments, directory)
            return running.run(self._program(elements, env, directory))

    def _program(self, elements: tuple[str, ...], env: Mapping[str, str], directory: str) -> Program:
        spec = self._spec
        if spec.sandbox is None:
            return Program(spec.program, (spec.argv[0], *elements), env, directory, spec.limits)
        path = bubblewrap()
        if path is None:
            raise Failed("upstream_unavailable", "the sandbox it must run in is not there", retry="never")
        given = {*([spec.cwd] if spec.cwd else []), *(place for _, place in spec.within)}
        directories = [(place, spec.sandbox.writes) for place in sorted(given)]
        bubble = Bubble(spec.sandbox.network, directories, spec.cwd or _INSIDE)
        argv = bubble.around(spec.program, *elements)
        return Program(str(path), argv, env, "/", spec.limits, keeps_privileges=True)

    def _check_pin(self) -> None:
        pin = self._spec.sha256
        if pin is None:
            return
        try:
            with Path(self._spec.program).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            found = ""
        if found != pin:
            raise Failed("upstream_unavailable", "its program is not the one that was pinned", retry="never")

    def _result(self, ended: Ended) -> dict[str, object]:
        stdout, stderr = ended.output.decode("utf-8", "replace"), ended.errors.decode("utf-8", "replace")
        if ended.status < 0:
            what = _SIGNALS.get(-ended.status, f"it was ended by signal {-ended.status}")
            raise Failed("upstream_error", what, executed="unknown")
        if self._spec.sandbox is not None and ended.status == 1 and stderr.startswith("bwrap: "):
            raise Failed("upstream_unavailable", "its sandbox could not be made", executed="unknown")
        if self._spec.ok_exits is not None and ended.status not in self._spec.ok_exits:
            flat = " ".join(strip_hidden(self._redactor.text(stderr))[0].split())
            excerpt = bounded(visible(self._redactor.text(flat)))
            reason = f"the command ended with status {ended.status}" + (f": {excerpt}" if excerpt else "")
            raise Failed("upstream_error", reason, executed="unknown")
        return {"exit": ended.status, "stdout": stdout, "stderr": stderr}
