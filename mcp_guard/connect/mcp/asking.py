"""What one server asks during one call: put to the person who waits for it where the home lets it, else declined.

Only a form for that person (`elicitation/create`) is ever put. Sampling, roots and whatever else a server may want of
a client stay refused.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

from mcp_guard.connect.failure import Failed
from mcp_guard.connect.mcp.answers import is_answer
from mcp_guard.connect.mcp.forms import NO, SEND, YES, NotAskedError, form
from mcp_guard.model.back_channel import Asked, BackChannel, Form, How, Questions, Said
from mcp_guard.model.tool import Elicitation, McpSpec
from mcp_guard.secrets.redact import Redactor

ELICITATION: Final = "elicitation/create"
_NAMED: Final = frozenset({ELICITATION, "sampling/createMessage", "roots/list"})
_MOST_JUDGED: Final = 20
"""How many questions of one call are looked at; looking takes time, and what is refused is not put."""
_MOST_ROUNDS: Final = 20
"""How often one call is sent again because its server wants to know something first (SEP-2322)."""
_PAUSE: Final = 0.25

Result = dict[str, object]
"""An `ElicitResult`."""
Later = Callable[[], Awaitable[Result]]
"""One that a person gives."""


class Asking:
    """The questions of one call, one at a time. `limit` is its clock: it stands still while a person has a form."""

    def __init__(self, spec: McpSpec, back: BackChannel, redactor: Redactor, limit: asyncio.Timeout) -> None:
        self._spec = spec
        self._back = back
        self._redactor = redactor
        self._limit = limit
        self._questions = back.questions or Questions()
        self._turn = asyncio.Lock()
        self._open: asyncio.Future[Said | None] | None = None
        self._begun = 0.0
        self._over = asyncio.Event()
        self._rounds = self._judged_so_far = 0

    @property
    def rules(self) -> Elicitation | None:
        return self._spec.upstream.elicitation

    def close(self) -> None:
        """The call has ended; what is still open is closed, and noted before its outcome is written."""
        self._over.set()
        if self._open is not None:
            self._open.cancel()
            self._open = None
            self._answered("cancel", "late")

    def asked(self, method: str, params: Mapping[str, Any] | None) -> Result | Later | None:
        """What a server that asks gets: an answer now, one that comes, or `None` where this is not offered at all."""
        if method != ELICITATION or self.rules is None:
            self._note(method, "refused", "never" if method != ELICITATION else "not_allowed")
            return None
        try:
            return partial(self._put, self._form(self.rules, params), self.rules.wait)
        except NotAskedError as refused:
            return self._declined(refused.why)

    async def responses(self, wanted: Mapping[str, tuple[str, Mapping[str, Any]]]) -> dict[str, Result]:
        """The answers to what a server wants to know before it goes on, by its own keys: method and parameters.

        Raises `Failed` for anything that is not offered.
        """
        self._rounds += 1
        if self._rounds > _MOST_ROUNDS:
            raise Failed("upstream_bad_response", "the server asks again and again", executed="unknown")
        if not wanted:
            await asyncio.sleep(_PAUSE)
        found: dict[str, Result] = {}
        for key, (method, params) in wanted.items():
            said = self.asked(method, params)
            if said is None:
                why = "the server asks for something that is not offered to it"
                raise Failed("upstream_bad_response", why, executed="unknown")
            found[key] = said if isinstance(said, dict) else await said()
        return found

    def _form(self, rules: Elicitation, params: Mapping[str, Any] | None) -> Form:
        """The form of a question that may be put; it counts from here. Raises `NotAskedError`."""
        if self._over.is_set():
            raise NotAskedError("late")
        if self._back.ask is None:
            raise NotAskedError(self._back.unasked)
        self._judged_so_far += 1
        if self._questions.put >= rules.most or self._judged_so_far > _MOST_JUDGED:
            raise NotAskedError("too_many")
        made = form(self._spec.upstream.name, self._spec.tool, params, self._redactor.text)
        self._questions.put += 1
        return made

    async def _put(self, shown: Form, seconds: float) -> Result:
        async with self._turn:
            if self._over.is_set() or self._back.ask is None:
                return self._declined("late")
            self._begun = time.monotonic()
            open_ = self._open = asyncio.ensure_future(self._back.ask(shown))
            try:
                with _standing_still(self._limit):
                    await asyncio.wait({open_}, timeout=seconds)
            finally:
                open_.cancel()
            if self._over.is_set():  # whatever was said, nobody waits for it
                return {"action": "cancel"}
            self._open = None
            how, why, content = self._judged(open_, shown)
            self._answered(how, why, content if how == "accept" else None)
        return {"action": how, "content": dict(content)} if how == "accept" else {"action": how}

    def _answered(self, how: How, why: str, answer: Mapping[str, object] | None = None) -> None:
        ms = int((time.monotonic() - self._begun) * 1000)
        sensitive = self.rules.sensitive if self.rules is not None and answer is not None else ()
        self._questions.note(Asked(ELICITATION, how, why, ms, answer, sensitive))

    def _judged(self, open_: "asyncio.Future[Said | None]", shown: Form) -> tuple[How, str, Mapping[str, object]]:
        """What a server is told of what came back: how it ended, why, and what was entered."""
        if not open_.done() or open_.cancelled():
            return "cancel", "timeout", {}
        if open_.exception() is not None:
            return "cancel", "client", {}
        said = open_.result()
        if said is None:
            return "decline", "nobody", {}
        if said.action != "accept":
            return said.action, "", {}
        if said.content.get(SEND) != YES:
            return ("decline", "", {}) if said.content.get(SEND) == NO else ("cancel", "unconfirmed", {})
        if not is_answer(said.content, shown.schema):
            return "cancel", "answer", {}
        content = {name: value for name, value in said.content.items() if name != SEND}
        # What the guard itself knows as a secret is given to nobody, whoever pasted it.
        return ("accept", "", content) if self._redactor.value(content) == content else ("cancel", "secret", {})

    def _declined(self, why: str) -> Result:
        self._note(ELICITATION, "decline", why)
        return {"action": "decline"}

    def _note(self, method: str, how: How, why: str) -> None:
        self._questions.note(Asked(method if method in _NAMED else "other", how, why))


@contextmanager
def _standing_still(limit: asyncio.Timeout) -> Iterator[None]:
    """Stop a clock meanwhile: what a person takes is no time of the server's."""
    now: Callable[[], float] = asyncio.get_running_loop().time
    end = limit.when()
    left = None if end is None else end - now()
    with suppress(RuntimeError):  # it is over: its call has ended
        limit.reschedule(None)
    try:
        yield
    finally:
        if left is not None:
            with suppress(RuntimeError):
                limit.reschedule(now() + left)
