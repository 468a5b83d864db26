"""What lists of tools showed and withheld, on record: durable before the list is answered, without filling the disk.

Clients poll. The first list of a principal is recorded; the same one within a minute is counted, which is recorded when
the minute is over. A list that differs is another one.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from mcp_guard.kit.clock import Clock
from mcp_guard.model.decision import Decision
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import Primitive, Tool
from mcp_guard.store.values import Stored

WINDOW_SECONDS = 60.0
MAX_WINDOWS = 1024
"""Lists counted at once; beyond it every list is recorded: each belongs to somebody with an identity."""
MAX_RULES = 32
"""Rules told apart in one record; what the others withheld is counted together."""
OTHERS = "others"
WITHHOLDING = ("withheld", "by", "would_withhold", "would_by")
"""The fields that tell of hidden tools, and so are not for whoever they are hidden from."""

State = Mapping[str, object]
_NOTHING: Mapping[str, int] = MappingProxyType({})
Write = Callable[[Principal, State], Coroutine[Any, Any, Stored]]
_Key = tuple[object, ...]


def state(
    shown: list[str], withheld: Mapping[str, int], observed: Mapping[str, int] = _NOTHING, what: str = "tools"
) -> State:
    """What is recorded of one list of tools, or of `what` else: the names shown, as a digest, and how many which rule
    withheld.

    `observed` are those that were shown although a rule would have withheld them (observe mode). `shown` is sha256
    (hex) of the names in ascending order, each followed by a line feed.
    """
    digest = sha256("".join(f"{name}\n" for name in sorted(shown)).encode()).hexdigest()
    found = {"what": what, "shown": digest, "count": len(shown)}
    found |= {"withheld": sum(withheld.values()), "by": _ranked(withheld)}
    if observed:
        found |= {"would_withhold": sum(observed.values()), "would_by": _ranked(observed)}
    return found


def state_of(
    listing: Sequence[tuple[Tool, Decision]], shown: Sequence[Tool], own: Sequence[str], of: Collection[Primitive]
) -> State:
    """The same, from the decisions; `own` are the guard's own that are shown beside."""
    denied = [(tool, decision.rule) for tool, decision in listing if not decision.allowed]
    withheld = Counter(rule for tool, rule in denied if not tool.observed)
    observed = Counter(rule for tool, rule in denied if tool.observed)
    names = [*own, *(tool.name for tool in shown)]
    return state(names, withheld, observed, " ".join(f"{one}s" for one in of))


def _ranked(rules: Mapping[str, int]) -> dict[str, int]:
    ranked = sorted(rules.items(), key=lambda item: (-item[1], item[0]))
    by = dict(ranked[:MAX_RULES])
    if rest := sum(count for _, count in ranked[MAX_RULES:]):
        by[OTHERS] = rest
    return by


@dataclass(slots=True)
class _Window:
    principal: Principal
    state: State
    since: float
    first: asyncio.Task[Stored]
    repeats: int = 0


class Listings:
    """Records lists, or counts them. `write` is durable when it returns and raises `StoreUnavailable`."""

    def __init__(self, clock: Clock, write: Write) -> None:
        self._clock = clock
        self._write = write
        self._windows: dict[_Key, _Window] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def note(self, principal: Principal, listed: State) -> None:
        """Return once a record says what this list showed. Raises `StoreUnavailable` where none does."""
        key = _key(principal, listed)
        window = self._windows.get(key)
        if window is not None and self._clock.monotonic() - window.since >= WINDOW_SECONDS:
            await self._close(key)
            window = self._windows.get(key)
        if window is not None:
            window.repeats += 1
            await asyncio.shield(window.first)
        elif len(self._windows) >= MAX_WINDOWS:
            await self._write(principal, listed)
        else:
            await self._first(key, principal, listed)

    async def flush(self) -> None:
        """Record the repeats of every window that is over."""
        now = self._clock.monotonic()
        for key in [key for key, window in self._windows.items() if now - window.since >= WINDOW_SECONDS]:
            await self._close(key)

    async def aclose(self) -> None:
        """Record all repeats now."""
        if self._timer is not None:
            self._timer.cancel()
        for key in list(self._windows):
            await self._close(key)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _first(self, key: _Key, principal: Principal, listed: State) -> None:
        self._arm()
        first = asyncio.get_running_loop().create_task(self._write(principal, listed))
        window = self._windows[key] = _Window(principal, listed, self._clock.monotonic(), first)
        first.add_done_callback(partial(self._settle, key, window))
        await asyncio.shield(first)

    def _settle(self, key: _Key, window: _Window, first: asyncio.Task[Stored]) -> None:
        """Forget a window whose record was not written, whether or not somebody still waits for it."""
        if (first.cancelled() or first.exception() is not None) and self._windows.get(key) is window:
            del self._windows[key]

    async def _close(self, key: _Key) -> None:
        """End a window. Repeats that cannot be recorded are kept for the next attempt."""
        window = self._windows.pop(key, None)
        if window is None:
            return
        with suppress(StoreUnavailable):
            await window.first
            if window.repeats:
                await self._write(window.principal, {**window.state, "repeats": window.repeats})
            return
        if not window.first.exception():
            window.since = self._clock.monotonic()
            self._windows.setdefault(key, window)

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._due)

    def _due(self) -> None:
        self._timer = None
        task = asyncio.get_running_loop().create_task(self.flush())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._windows:
            self._arm()


def _key(principal: Principal, listed: State) -> _Key:
    """Who lists, as authenticated: what a client calls itself makes no difference. And what the list was."""
    who = (principal.subject, principal.client, principal.tenant, principal.auth, principal.assurance, principal.chain)
    by, would_by = listed["by"], listed.get("would_by", _NOTHING)
    assert isinstance(by, Mapping)
    assert isinstance(would_by, Mapping)
    return (*who, listed["shown"], tuple(by.items()), tuple(would_by.items()))
