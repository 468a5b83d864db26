"""A witness over HTTP: two paths, small bodies, constant answers to strangers. Nothing of the SDK."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Scope, Send

from mcp_guard.audit.submission import ADD_CHECKPOINT, ADD_KEY, MAX_BYTES
from mcp_guard.audit.witness import Answer, Witness
from mcp_guard.model.errors import GuardError
from mcp_guard.server import listening
from mcp_guard.server.asgi import BODY_SECONDS, read_body, respond

NOT_FOUND: Final = Answer(404, b"not found\n")
NOT_POST: Final = Answer(405, b"POST only\n")
TOO_LARGE: Final = Answer(413, b"the submission is too large\n")
TOO_SLOW: Final = Answer(408, b"the submission took too long\n")
OUT_OF_ORDER: Final = Answer(503, b"the witness cannot keep what it would sign\n")

OnAnswer = Callable[[Answer], None]


@dataclass(frozen=True, slots=True)
class WitnessApp:
    """The ASGI application. `on_answer` is told of everything that reached the witness itself."""

    witness: Witness
    on_answer: OnAnswer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer = await self._answer(scope, receive)
        if answer is not None:
            await respond(send, answer.status, answer.body, kind=answer.kind.encode())

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        if scope["path"] not in (ADD_CHECKPOINT, ADD_KEY):
            return NOT_FOUND
        if scope["method"] != "POST":
            return NOT_POST
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await read_body(receive, MAX_BYTES)
        except TimeoutError:
            return TOO_SLOW
        if body is None:
            return None
        return TOO_LARGE if len(body) > MAX_BYTES else await self._ask(scope["path"], body)

    async def _ask(self, path: str, body: bytes) -> Answer:
        ask = self.witness.add_checkpoint if path == ADD_CHECKPOINT else self.witness.add_key
        try:
            answer = await asyncio.to_thread(ask, body)
        except (OSError, GuardError):
            answer = OUT_OF_ORDER
        self.on_answer(answer)
        return answer


async def serve_witness(
    witness: Witness,
    host: str,
    port: int,
    *,
    stop: asyncio.Event,
    on_listening: Callable[[str, int], None],
    on_answer: OnAnswer,
) -> None:
    """Serve until `stop` is set."""

    async def drain() -> None:
        """Submissions are short: nothing is waited for."""

    app = WitnessApp(witness, on_answer)
    await listening.serve(app, host, port, on_listening=on_listening, stop=stop, drain=drain)
