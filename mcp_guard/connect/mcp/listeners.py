"""Who listens to what a server says while it carries out a call, and how much of its words is passed on."""

import asyncio
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from mcp_guard.connect.failure import MAX_TEXT
from mcp_guard.connect.mcp.asking import ELICITATION, Asking, Later, Result
from mcp_guard.kit.text import strip_hidden, visible
from mcp_guard.model.back_channel import Hear, Move
from mcp_guard.secrets.redact import Redactor

_log = logging.getLogger("mcp_guard.upstream")

LONGEST_MESSAGE: Final = 2_000
"""A longer message of a notification is not passed on: looking for secrets in it takes time, at each of them."""


class Listeners:
    """The calls of one session that are under way: who hears of their progress, by their progress tokens, and what
    their server may ask meanwhile.

    A token is of one call and dies with its answer; of another session's calls a server knows none. A question names no
    call. It is taken for one only where no other can be meant: while there is one alone, and none was given up before.
    """

    def __init__(self) -> None:
        self._hearing: dict[str, Hear] = {}
        self._asking: list[Asking] = []
        self.is_unclear = False
        """Whether a call was given up whose server may still ask because of it."""

    @contextmanager
    def calling(self, asking: Asking) -> Iterator[None]:
        """A call is under way until the block ends."""
        self._asking.append(asking)
        try:
            yield
        except asyncio.CancelledError:
            self.is_unclear = self.is_unclear or asking.rules is not None
            raise
        finally:
            asking.close()
            self._asking.remove(asking)

    @contextmanager
    def hearing(self, hear: Hear | None) -> Iterator[str | None]:
        """A fresh token, until the block ends; none where nobody listens."""
        if hear is None:
            yield None
            return
        token = os.urandom(12).hex()
        self._hearing[token] = hear
        try:
            yield token
        finally:
            del self._hearing[token]

    def asked(self, method: str, params: Mapping[str, Any] | None) -> Result | Later | None:
        """What a server that asks gets (`Asking.asked`)."""
        if len(self._asking) == 1 and not self.is_unclear:
            return self._asking[0].asked(method, params)
        _log.info("an upstream asked something that belongs to no call, or not clearly to one")
        allowed = method == ELICITATION and any(asking.rules is not None for asking in self._asking)
        return {"action": "decline"} if allowed else None

    def progress(self, params: Mapping[str, Any] | None) -> None:
        """Take a `notifications/progress`. What is of no call that is waited for, or says nothing, is dropped."""
        said = params or {}
        token, progress = said.get("progressToken"), _number(said.get("progress"))
        hear = self._hearing.get(token) if isinstance(token, str) else None
        if hear is None or progress is None:
            return
        message = said.get("message")
        hear(Move(progress, _number(said.get("total")), message if isinstance(message, str) else None))


def screened(hear: Hear, redactor: Redactor) -> Hear:
    """The same, for words as they may be passed on."""

    def heard(move: Move) -> None:
        text = "" if move.message is None or len(move.message) > LONGEST_MESSAGE else words(move.message, redactor)
        hear(Move(move.progress, move.total, text or None))

    return heard


def words(text: str, redactor: Redactor) -> str:
    """Bounded words of a server, on one line, without secrets. Redacted before they are cut: half a secret is not found
    any more; and twice, because a hidden character keeps one from being found until it is taken out."""
    flat = " ".join(redactor.text(strip_hidden(redactor.text(text))[0]).split())
    return visible(flat)[:MAX_TEXT]


def _number(value: object) -> float | None:
    """A number that can be told: finite, and not below zero."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
