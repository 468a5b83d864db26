"""Following the log: what is appended, by whichever process, in order and without a gap."""

from collections.abc import Awaitable, Callable

from mcp_guard.model.errors import LogBroken
from mcp_guard.store.finder import Finder, Record
from mcp_guard.store.search import Search
from mcp_guard.store.store import Store
from mcp_guard.store.values import Traits

STEP = 2000
"""Records looked at in one step, at most: memory stays bounded however much was appended meanwhile."""

Seen = tuple[Record, Traits]
"""A record, and the traits it is found by."""


class News:
    """The records appended since it was made. `next` is the number of the first one not handed out yet."""

    def __init__(self, finder: Finder, first: int) -> None:
        self._finder = finder
        self.next = first

    @classmethod
    async def of(cls, store: Store) -> "News":
        """News of a store from now on. Raises `StoreUnavailable` where it cannot be read."""
        finder = Finder(store.reader)
        return cls(finder, await finder.end())

    async def step(self) -> list[Seen]:
        """The next records, oldest first; none where there are none yet.

        Raises `LogBroken` where the log has become shorter, `StoreUnavailable`.
        """
        end = await self._finder.end()
        if end < self.next:
            raise LogBroken(
                f"the log went back from {self.next} to {end} records: an older copy took its place",
                hint="put the newest database back",
            )
        if end == self.next:
            return []
        seen = await self._finder.following(self.next, min(STEP, end - self.next))
        self.next = min(end, self.next + STEP)
        return seen


class Follower:
    """News narrowed to what is searched for.

    `search` is asked anew for each step, because people get pseudonyms meanwhile; `named` says who is meant.
    """

    def __init__(
        self,
        news: News,
        search: Callable[[], Awaitable[Search]],
        named: Callable[[list[Record]], Awaitable[list[Record]]],
    ) -> None:
        self._news = news
        self._search = search
        self._named = named

    @property
    def next(self) -> int:
        """The number of the first record not looked at yet."""
        return self._news.next

    async def step(self) -> list[Record]:
        """The wanted ones of the next records, oldest first."""
        seen = await self._news.step()
        search = await self._search() if seen else Search()
        return await self._named([record for record, traits in seen if search.matches(record, traits)])
