"""Telling readers that there are new records they may read: at most once a second, and never of reads.

Nothing is told but that there is something; whoever is told reads it as ever, by policy and on record. The log is
looked at, not listened to: what another process writes is news too, and no reader can hold up the writer.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mcp_guard.admin.records import RecordReader, parse_filters
from mcp_guard.audit.follow import News, Seen
from mcp_guard.audit.query import Filters
from mcp_guard.model.errors import GuardError, LogBroken, StoreUnavailable, Unauthenticated
from mcp_guard.model.principal import Principal
from mcp_guard.store.values import Traits

TICK_SECONDS = 1.0
MAX_SUBSCRIPTIONS = 512
MAX_PER_SUBJECT = 64
"""Of one subject, over all their connections: nobody takes everybody's place."""

Who = Callable[[], Awaitable[Principal]]
"""The principal as of now. Raises `Unauthenticated` where they would no longer be let in."""
Sleep = Callable[[float], Awaitable[None]]
IsNews = Callable[[Mapping[str, Any], Traits], bool]


class TooManySubscriptions(GuardError):
    """There is no room for another one."""

    code = "rate_limited"


class Topic(Protocol):
    """What one can be told of."""

    async def admit(self, principal: Principal) -> None:
        """Record that the principal wants to be told. Raises `Refused`, `UsageError`."""
        ...

    async def news_for(self, principal: Principal) -> IsNews | None:
        """Which records are news to the principal as of now; `None` where they may not be told any more."""
        ...


@dataclass(frozen=True, slots=True)
class RecordTopic:
    """The records a filter finds, among those a reader may read."""

    reader: RecordReader
    wanted: Mapping[str, str]

    async def admit(self, principal: Principal) -> None:
        await self.reader.watch(principal)
        await self.reader.query.search(self._filters(), "all", None)  # what cannot be looked for is refused now

    async def news_for(self, principal: Principal) -> IsNews | None:
        rows = self.reader.rows(principal)
        if rows is None:
            return None
        filters = self._filters()
        search = await self.reader.query.search(filters, rows, principal)
        return lambda record, traits: search.matches(record, traits) and filters.spans(record["_n"])

    def _filters(self) -> Filters:
        return parse_filters(self.wanted)


@dataclass(eq=False, frozen=True, slots=True)
class Subscription:
    """What somebody wants to be told of. `changed` is called for it, `ended` once it is over from this side; neither
    may block."""

    who: Who
    subject: str
    topic: Topic
    changed: Callable[[], None]
    ended: Callable[[], None]


class RecordFeed:
    """The subscriptions of a serving process. While there are none it does nothing."""

    def __init__(self, reader: RecordReader, sleep: Sleep = asyncio.sleep) -> None:
        self._reader = reader
        self._sleep = sleep
        self._subscriptions: dict[Subscription, None] = {}
        self._news: News | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def subscribe(
        self, who: Who, filters: Mapping[str, str], changed: Callable[[], None], ended: Callable[[], None]
    ) -> Callable[[], None]:
        """Tell of new records from now on; returns how to stop that.

        Raises `Refused` for whoever may not read the log, `UsageError`, `TooManySubscriptions`, `StoreUnavailable`.
        """
        return await self.follow(who, RecordTopic(self._reader, filters), changed, ended)

    async def follow(
        self, who: Who, topic: Topic, changed: Callable[[], None], ended: Callable[[], None]
    ) -> Callable[[], None]:
        """The same for any topic. Raises what `topic.admit` raises, `TooManySubscriptions`, `StoreUnavailable`."""
        principal = await who()
        await topic.admit(principal)
        if self._task is None:
            news = await self._reader.query.news()
            self._start(news)
        return self._add(Subscription(who, principal.subject, topic, changed, ended))

    def _start(self, news: News) -> None:
        if self._task is None:
            self._news = news
            self._task = asyncio.create_task(self._run())

    def _add(self, one: Subscription) -> Callable[[], None]:
        held = Counter(other.subject for other in self._subscriptions)
        if self._closed or len(self._subscriptions) >= MAX_SUBSCRIPTIONS or held[one.subject] >= MAX_PER_SUBJECT:
            raise TooManySubscriptions("there is no room for another subscription", hint="give up one you have")
        self._subscriptions[one] = None

        def cancel() -> None:
            self._subscriptions.pop(one, None)

        return cancel

    async def aclose(self) -> None:
        """End every subscription. Safe to repeat."""
        self._closed = True
        for one in list(self._subscriptions):
            self._end(one)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def tick(self) -> None:
        """Look at what is new and tell whom it concerns, each once. Where the log cannot be read now, later will do."""
        told: set[Subscription] = set()
        try:
            if self._news is None:
                self._news = await self._reader.query.news()
            while seen := await self._news.step():
                for one in [one for one in self._subscriptions if one not in told]:
                    if await self._concerns(one, seen):
                        told.add(one)
                        one.changed()
        except LogBroken:
            self._news = None  # an older copy took its place: the writer says so, and what follows is news again
        except StoreUnavailable:
            return

    async def _run(self) -> None:
        while self._subscriptions:
            await self._sleep(TICK_SECONDS)
            await self.tick()
        self._task = None

    async def _concerns(self, one: Subscription, seen: list[Seen]) -> bool:
        """Whether one of these records is wanted and may be read. Whoever may read nothing any more is let go."""
        new = [(record, traits) for record, traits in seen if record.get("kind") != "read"]
        if not new:
            return False
        try:
            principal = await one.who()
        except Unauthenticated:
            self._end(one)
            return False
        is_news = await one.topic.news_for(principal) if principal.subject == one.subject else None
        if is_news is None:
            self._end(one)
            return False
        return any(is_news(record, traits) for record, traits in new)

    def _end(self, one: Subscription) -> None:
        self._subscriptions.pop(one, None)
        one.ended()
