"""Finding record numbers by facets, newest first: bitmaps for what is indexed, the lines themselves for what is not."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import orjson

from mcp_guard.model.errors import LogBroken
from mcp_guard.store import facets
from mcp_guard.store.reader import Reader
from mcp_guard.store.values import Traits

Record = dict[str, object]
_FIRST_BLOCK = 8
_TAIL_PAGE = 2000


class Finder:
    """Searches one log. The index may lag or be written meanwhile; nothing stored before the search is missed."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, wanted: Sequence[str], low: int, high: int, limit: int) -> list[Record]:
        """The newest `limit` records of `[low, high)` that have every wanted facet."""
        if not wanted:
            return await self._newest(low, high, limit)
        end, indexed = await self._bounds()
        found = await self._unindexed(wanted, max(low, indexed), min(high, end), limit)
        if len(found) < limit:
            numbers = await self._indexed(wanted, low, min(high, indexed), limit - len(found))
            found += await self.records(numbers)
        return found

    async def of_call(self, call: str) -> list[Record]:
        """Every record of one call, oldest first."""
        _, indexed = await self._bounds()
        wanted = facets.digest(call)
        numbers: list[int] = []
        for segment, digests in await self._reader.all("calls_find", {"digest": wanted}):
            assert isinstance(segment, int)
            assert isinstance(digests, bytes)
            numbers += facets.positions(segment, digests, wanted)
        found = await self.records(n for n in numbers if n < indexed)
        async for page in self._pages(indexed, 2**62):
            found += page
        return sorted((record for record in found if record.get("call") == call), key=number_of)

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
            page = await self._newest(low, high, _TAIL_PAGE)
            yield page
            if len(page) < _TAIL_PAGE:
                return
            high = number_of(page[-1])

    async def _unindexed(self, wanted: Sequence[str], low: int, high: int, limit: int) -> list[Record]:
        needed = set(wanted)
        found: list[Record] = []
        async for page in self._pages(low, high):
            traits = await self._traits(page)
            found += [record for record in page if needed <= set(facets.facets(traits[number_of(record)]))]
            if len(found) >= limit:
                return found[:limit]
        return found

    async def _traits(self, page: Sequence[Record]) -> dict[int, Traits]:
        """The traits of records, those of their intents included."""
        own = {number_of(record): facets.traits(record) for record in page}
        intents = {number_of(record): of for record in page if isinstance(of := record.get("of"), int)}
        others = await self.records(set(intents.values()) - own.keys())
        known = own | {number_of(record): facets.traits(record) for record in others}
        return own | {n: own[n].of(known.get(of, Traits())) for n, of in intents.items()}

    async def _indexed(self, wanted: Sequence[str], low: int, high: int, limit: int) -> list[int]:
        """Newest first, in blocks of segments that grow: what is common is near, what is rare takes few steps."""
        found: list[int] = []
        block = _FIRST_BLOCK
        top = (high - 1) >> facets.SEGMENT_BITS
        bottom = low >> facets.SEGMENT_BITS
        while top >= bottom and high > low:
            floor = max(bottom, top - block + 1)
            for segment, bits in await self._intersect(wanted, floor, top):
                for n in facets.numbers(segment, bits):
                    if low <= n < high:
                        found.append(n)
                        if len(found) == limit:
                            return found
            top, block = floor - 1, block * 4
        return found

    async def _intersect(self, wanted: Sequence[str], low: int, high: int) -> list[tuple[int, int]]:
        names = orjson.dumps(list(wanted)).decode()
        rows = await self._reader.all("posting_find", {"facets": names, "low": low, "high": high})
        by_segment: dict[int, list[bytes]] = {}
        for _, segment, bits in rows:
            assert isinstance(segment, int)
            assert isinstance(bits, bytes)
            by_segment.setdefault(segment, []).append(bits)
        needed = len(set(wanted))
        return [
            (segment, _and(found))
            for segment, found in sorted(by_segment.items(), reverse=True)
            if len(found) == needed
        ]


def _and(bitmaps: Sequence[bytes]) -> int:
    bits = facets.unpack(bitmaps[0])
    for other in bitmaps[1:]:
        bits &= facets.unpack(other)
    return bits


def _parse(line: object) -> Record:
    try:
        record: Record = orjson.loads(str(line))
    except orjson.JSONDecodeError:
        raise LogBroken("a record of the log is not JSON") from None
    return record


def number_of(record: Mapping[str, object]) -> int:
    """The `_n` of a record."""
    n = record["_n"]
    assert isinstance(n, int)
    return n
