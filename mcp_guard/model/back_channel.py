"""The way back to whoever waits for a call, while it is carried out."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Move:
    """How far something is. `progress` only ever grows; `total` is what it grows to, where that is known."""

    progress: float
    total: float | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Form:
    """What a person is asked: a text of ours with words of a server quoted in it, and flat fields (JSON Schema)."""

    message: str
    schema: Mapping[str, object]


Action = Literal["accept", "decline", "cancel"]


@dataclass(frozen=True, slots=True)
class Said:
    """What came back of a form, as a client says it: nothing of it was looked at."""

    action: Action
    content: Mapping[str, object]


Report = Callable[[Move], Awaitable[None]]
"""Tells a client. It may take as long as the client does."""
Hear = Callable[[Move], None]
"""Takes what is said of a call's progress, and returns at once."""
Ask = Callable[[Form], Awaitable[Said | None]]
"""Puts a form to the person at the client of a call, for as long as it is waited for; `None` where that cannot be."""
How = Action | Literal["refused"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that a server asked during a call, and how that ended. `why` is a word of ours where nobody answered;
    `ms` how long a person had it, `answer` what they entered, `sensitive` JSON pointers into that."""

    what: str
    how: How
    why: str = ""
    ms: int | None = None
    answer: Mapping[str, object] | None = None
    sensitive: tuple[str, ...] = ()
    times: int = 1


_MOST_ENTRIES: Final = 32


@dataclass(slots=True)
class Questions:
    """What a server asked during one call, over all attempts. What ended alike without a person is counted. `put` is
    how often a person was asked."""

    entries: list[Asked] = field(default_factory=list)
    put: int = 0

    def note(self, asked: Asked) -> None:
        for place, known in enumerate(self.entries):
            if known.ms is None and replace(known, times=1) == asked:
                self.entries[place] = replace(known, times=known.times + 1)
                return
        if len(self.entries) < _MOST_ENTRIES:
            self.entries.append(asked)


@dataclass(frozen=True, slots=True)
class BackChannel:
    """What of a call reaches whoever waits for it before its end: progress, where they asked for that, and questions,
    where they can be asked; if not, `unasked` says why. `questions` keeps what was asked."""

    hear: Hear | None = None
    ask: Ask | None = None
    unasked: str = "nobody"
    questions: Questions | None = None

    def without_words(self) -> "BackChannel":
        """The same with numbers only of the progress."""
        hear = self.hear
        return self if hear is None else replace(self, hear=lambda move: hear(replace(move, message=None)))

    def asking_nobody(self, why: str) -> "BackChannel":
        return replace(self, ask=None, unasked=why)


NOBODY: Final = BackChannel()
"""Of a call whose end nobody waits for, or that nobody wants to hear of before."""
