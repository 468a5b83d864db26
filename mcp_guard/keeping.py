"""The last stage of a result: what is more than one answer carries is kept, and the answer shows its beginning.

What is kept is what would have been answered: redacted, stripped, checked and without what policy hides. It is for
whoever called and for nobody else, for a while.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from mcp_guard.audit.facts import Ending
from mcp_guard.connect.shape import Shaped
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.kit.strict_json import dumps
from mcp_guard.model.errors import Refused, StoreUnavailable
from mcp_guard.model.kept import LEAST_ANSWER, KeptView, Whole
from mcp_guard.model.tool import Tool
from mcp_guard.results.beginning import beginning
from mcp_guard.results.store import Bounds, NoRoom, Owner, Result, ResultStore, pages_of
from mcp_guard.store.transaction import Work
from mcp_guard.tasks.plan import CALL
from mcp_guard.trail import Trail


@dataclass(frozen=True, slots=True)
class Rules:
    """What a home says of results: bytes that an answer carries and that are shown of a larger one, whether that is
    kept, how large it may be, and for how long (seconds)."""

    answer: int
    beginning: int
    keep: bool
    largest: int
    seconds: float
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Keeping:
    """Keeps results. `rules` are those in force now."""

    results: ResultStore
    rules: Callable[[], Rules]
    clock: Clock

    async def fitting(self, trail: Trail, tool: Tool, shaped: Shaped) -> Shaped:
        """The result as one answer carries it. Raises `Refused` for one that is too large and cannot be kept.

        A step of a workflow has its whole result or none: what comes behind it must not go by a part.
        """
        size = len(shaped.encoded)
        if size <= LEAST_ANSWER:
            return shaped
        rules = self.rules()
        most = tool.largest_answer or rules.answer
        if size <= most:
            return shaped
        step = trail.carried is not None and trail.carried.step != CALL
        if tool.refuses_larger or not rules.keep or step or size > rules.largest:
            raise _too_large(most if tool.refuses_larger or not rules.keep or step else rules.largest)
        pages, now = pages_of(shaped.encoded), self.clock.now_us()
        result = Result(
            id=os.urandom(16).hex(),
            owner=Owner.of(trail.principal),
            tool=tool.name,
            call=trail.call.id,
            size=size,
            pages=len(pages),
            expires_at=now + round(rules.seconds * 1_000_000),
        )
        try:
            await self.results.keep(result, pages, rules.bounds, now)
        except (NoRoom, StoreUnavailable):
            raise _too_large(most, "and there is no room to keep it") from None
        return _shown(result, tool, shaped, min(rules.beginning, most // 2))

    def releasing(self, ending: Ending) -> Work | None:
        """What commits with the outcome of a call whose result was kept."""
        return None if ending.whole is None else self.results.releasing(ending.whole.id)


def _shown(result: Result, tool: Tool, shaped: Shaped, room: int) -> Shaped:
    """The answer that stands for a kept result."""
    begins = beginning(shaped.structured, room)
    view = KeptView(result.call, result.id, result.size, result.pages, as_datetime(result.expires_at), begins)
    told, encoded = view.as_dict(), dumps(begins)
    return replace(
        shaped,
        structured=told,
        encoded=encoded,
        content=view.as_content(tool.name, encoded),
        typed=True,
        whole=Whole(result.id, shaped.structured, shaped.encoded),
    )


def _too_large(most: int, why: str = "") -> Refused:
    reason = " ".join(filter(None, (f"the result is larger than {most} bytes", why)))
    return Refused("upstream_too_large", reason, executed="yes")
