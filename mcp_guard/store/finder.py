"""Finding records, newest first: bitmaps for what is indexed, the lines themselves for what is not."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import islice

import orjson

from mcp_guard.model.errors import LogBroken
from mcp_guard.store import facets
from mcp_guard.store.candidates import Candidates
from mcp_guard.store.reader import Reader
from mcp_guard.store.search import Search
from mcp_guard.store.values import Traits

Record = dict[str, object]
END = 2**62
"""Beyond every record number."""
_PAGE = 2000
_LATEST = 253_402_300_799_999_999
"""The last microsecond there is a date for."""
_OBJECTS = ("actor", "decision", "state")
_DOUBTFUL_PAGE = 256


class Finder:
    """Searches one log. The index may lag or be written meanwhile; nothing stored before the search is missed."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, search: Search, low: int, high: int, limit: int) -> list[Record]:
        """The newest `limit` records of `[low, high)` that are wanted."""
        if search.is_open:
            return await self._newest(low, high, limit)
        end, indexed = await self._bounds()
        found = await self._unindexed(search, max(low, indexed), min(high, end), limit)
        if len(found) < limit:
            found += await self._indexed(search, low, min(high, indexed), limit - len(found))
        return found

    async def end(self) -> int:
        """The number the next record will have."""
        return (await self._bounds())[0]

    async def following(self, first: int, limit: int) -> list[tuple[Record, Traits]]:
        """The records `[first, first + limit)`, oldest first, each with its traits and those of its intent."""
        page = await self._newest(first, first + limit, limit)
        traits = await self._traits(page)
        return [(record, traits[number_of(record)]) for record in reversed(page)]

    async def records(self, numbers: Iterable[int]) -> list[Record]:
        """The records of these numbers, newest first."""
        wanted = list(numbers)
        if not wanted:
            return []
        rows = await self._reader.all("log_lines_of", {"numbers": orjson.dumps(wanted).decode()})
        return [_parse(line) for _, line in rows]

    async def first_since(self, time_us: int) -> int:
        """The first record that is not older than a time (unix µs)."""
        row = await self._reader.one("log_first_since", {"time": time_us})
        return row[0] if row and isinstance(row[0], int) else 0

    async def _bounds(self) -> tuple[int, int]:
        row = await self._reader.one("log_bounds")
        assert row is not None
        end, indexed = row
        assert isinstance(end, int)
        assert isinstance(indexed, int)
        return end, indexed

    async def _newest(self, low: int, high: int, limit: int) -> list[Record]:
        rows = await self._reader.all("log_lines_down", {"low": low, "high": high, "limit": limit})
        return [_parse(line) for _, line in rows]

    async def _pages(self, low: int, high: int) -> AsyncIterator[list[Record]]:
        """Records of `[low, high)`, newest first, a page at a time so that no transaction lasts."""
        while low < high:
            page = await self._newest(low, high, _PAGE)
            yield page
            if len(page) < _PAGE:
                return
            high = number_of(page[-1])

    async def _unindexed(self, search: Search, low: int, high: int, limit: int) -> list[Record]:
        found: list[Record] = []
        async for page in self._pages(low, high):
            found += await self._wanted(search, page)
            if len(found) >= limit:
                return found[:limit]
        return found

    async def _wanted(self, search: Search, page: Sequence[Record]) -> list[Record]:
        traits = await self._traits(page)
        return [record for record in page if search.matches(record, traits[number_of(record)])]

    async def _traits(self, page: Sequence[Record]) -> dict[int, Traits]:
        """The traits of records, those of their intents included."""
        own = {number_of(record): facets.traits(record) for record in page}
        intents = {number_of(record): of for record in page if isinstance(of := record.get("of"), int)}
        others = await self._intents(set(intents.values()) - own.keys())
        known = own | {number_of(record): facets.traits(record) for record in others}
        return own | {n: own[n].of(known.get(of, Traits())) for n, of in intents.items()}

    async def _intents(self, numbers: set[int]) -> list[Record]:
        """Intents, pruned ones too as long as their outcome is here."""
        found = await self.records(numbers)
        if len(found) < len(numbers) and await self._reader.one("pruned_intent_exists") is not None:
            wanted = orjson.dumps(sorted(numbers)).decode()
            found += [_parse(line) for _, line in await self._reader.all("pruned_intents_of", {"numbers": wanted})]
        return found

    async def _indexed(self, search: Search, low: int, high: int, limit: int) -> list[Record]:
        if low >= high:
            return []
        found: list[Record] = []
        candidates = await Candidates.of(self._reader, search)
        async for numbers in candidates.blocks(low, high):
            while wanted := list(islice(numbers, limit - len(found) if candidates.left.is_open else _DOUBTFUL_PAGE)):
                page = await self.records(wanted)
                found += page if candidates.left.is_open else await self._wanted(candidates.left, page)
                if len(found) >= limit:
                    return found[:limit]
        return found


def parse_record(line: bytes | str) -> Record:
    """The record on a line, as far as everybody who shows one relies on it. Raises `LogBroken`."""
    try:
        record: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = None
    if not isinstance(record, dict) or not _is_shown(record):
        raise LogBroken("a record of the log is not a record")
    return record


def _is_shown(record: Mapping[str, object]) -> bool:
    n, time = record.get("_n"), record.get("_t")
    return (
        type(n) is int
        and type(time) is int
        and 0 <= time <= _LATEST
        and isinstance(record.get("kind"), str)
        and all(isinstance(record.get(name, {}), dict) for name in _OBJECTS)
    )


def _parse(line: object) -> Record:
    return parse_record(str(line))


def number_of(record: Mapping[str, object]) -> int:
    """The `_n` of a record."""
    n = record["_n"]
    assert isinstance(n, int)
    return n
