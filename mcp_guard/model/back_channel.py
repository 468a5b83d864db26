"""The way back to whoever waits for a call, while it is carried out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Move:
    """How far something is. `progress` only ever grows; `total` is what it grows to, where that is known."""

    progress: float
    total: float | None
    message: str | None


Report = Callable[[Move], Awaitable[None]]
"""Tells a client. It may take as long as the client does."""
Hear = Callable[[Move], None]
"""Takes what is said of a call's progress, and returns at once."""


@dataclass(frozen=True, slots=True)
class BackChannel:
    """What of a call reaches whoever waits for it before its end: progress, where they asked for that."""

    hear: Hear | None = None

    def without_words(self) -> "BackChannel":
        """The same for numbers only."""
        hear = self.hear
        return self if hear is None else BackChannel(lambda move: hear(replace(move, message=None)))


NOBODY = BackChannel()
"""Of a call whose end nobody waits for, or that nobody wants to hear of before."""
