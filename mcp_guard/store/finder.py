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
        found = [record async for record in self._unindexed(wanted, max(low, indexed), min(high, end), limit)]
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
        async for record in self._down(indexed, 2**62):
            found.append(record)
        return sorted((record for record in found if record.get("call") == call), key=_number)

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

    async def _down(self, low: int, high: int) -> AsyncIterator[Record]:
        """Records of `[low, high)`, newest first, a page at a time so that no transaction lasts."""
        while low < high:
            rows = await self._reader.all("log_lines_down", {"low": low, "high": high, "limit": _TAIL_PAGE})
            for _, line in rows:
                yield _parse(line)
            if len(rows) < _TAIL_PAGE:
                return
            last = rows[-1][0]
            assert isinstance(last, int)
            high = last

    async def _unindexed(self, wanted: Sequence[str], low: int, high: int, limit: int) -> AsyncIterator[Record]:
        needed = set(wanted)
        left = limit
        async for record in self._down(low, high):
            if needed <= set(await self._facets(record)):
                yield record
                left -= 1
                if not left:
                    return

    async def _facets(self, record: Record) -> tuple[str, ...]:
        """A record's facets with those of its intent."""
        found = facets.traits(record)
        of = record.get("of")
        if isinstance(of, int):
            intent = await self.records([of])
            found = found.of(facets.traits(intent[0]) if intent else Traits())
        return facets.facets(found)

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


def _number(record: Mapping[str, object]) -> int:
    n = record["_n"]
    assert isinstance(n, int)
    return n
