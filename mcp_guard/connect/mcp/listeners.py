"""Who listens to what a server says while it carries out a call, and how much of its words is passed on."""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from mcp_guard.connect.failure import MAX_TEXT
from mcp_guard.kit.text import strip_hidden, visible
from mcp_guard.model.back_channel import Hear, Move
from mcp_guard.secrets.redact import Redactor

LONGEST_MESSAGE: Final = 2_000
"""A longer message of a notification is not passed on: looking for secrets in it takes time, at each of them."""


class Listeners:
    """The calls of one session whose progress somebody waits for, by their progress tokens.

    A token is of one call and dies with its answer. Of another session's calls a server knows none.
    """

    def __init__(self) -> None:
        self._hearing: dict[str, Hear] = {}

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
