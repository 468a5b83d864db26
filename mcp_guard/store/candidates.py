"""What the index says about a search: the numbers of the records that may be wanted, newest first."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import reduce
from operator import and_, or_

import orjson

from mcp_guard.store import facets, words
from mcp_guard.store.reader import Reader
from mcp_guard.store.search import Search, Word
from mcp_guard.store.transaction import Parameters

MAX_TEXTS = 256
"""Texts looked up for one word. Where more begin so, the word narrows nothing down and the records themselves are
looked at: strangers choose the names of tools that are not there, so this has to end somewhere."""
_FIRST_BLOCK = 8

Term = tuple[str, ...]
Bitmaps = dict[int, int]
"""Bits by segment. A segment that is not there has none."""


class Candidates:
    """The index of one log under one search. Every record that is wanted is among the candidates.

    `left` is what the index cannot tell of them: ids, whose digests collide, and words that too many texts have.
    """

    def __init__(self, reader: Reader, ids: Sequence[tuple[str, str]], terms: Sequence[Term], left: Search) -> None:
        self._reader = reader
        self._ids = ids
        self._terms = terms
        self.left = left

    @classmethod
    async def of(cls, reader: Reader, search: Search) -> "Candidates":
        """Look up the words of a search, where there is a full-text index that knows every text."""
        terms, left = list(search.terms), search.words
        if left and words.has_index() and await reader.one("words_ready"):
            found = [(word, await _texts_with(reader, word)) for word in left]
            terms += [term for _, term in found if term is not None]
            left = tuple(word for word, term in found if term is None)
        return cls(reader, search.ids, terms, Search(ids=search.ids, words=left))

    async def blocks(self, low: int, high: int) -> AsyncIterator[Iterator[int]]:
        """The candidates of `[low, high)`, in blocks of segments that grow: what is common is near, what is rare takes
        few steps."""
        block = _FIRST_BLOCK
        top, bottom = (high - 1) >> facets.SEGMENT_BITS, low >> facets.SEGMENT_BITS
        while top >= bottom:
            floor = max(bottom, top - block + 1)
            yield _numbers(await self._bitmaps(floor, top), low, high)
            top, block = floor - 1, block * 4

    async def _bitmaps(self, low: int, high: int) -> Bitmaps:
        found = [await self._of_id(kind, value, low, high) for kind, value in self._ids]
        if self._terms:
            found.append(await self._of_terms(low, high))
        if not found:
            return dict.fromkeys(range(low, high + 1), facets.everything())
        return reduce(_intersect, found)

    async def _of_id(self, kind: str, value: str, low: int, high: int) -> Bitmaps:
        wanted = facets.digest(value)
        parameters: Parameters = {"kind": kind, "digest": wanted, "low": low, "high": high}
        rows = await self._reader.all("digest_find", parameters)
        return {
            segment: facets.positions(digests, wanted)
            for segment, digests in rows
            if isinstance(segment, int) and isinstance(digests, bytes)
        }

    async def _of_terms(self, low: int, high: int) -> Bitmaps:
        names = orjson.dumps([name for term in self._terms for name in term]).decode()
        rows = await self._reader.all("posting_find", {"facets": names, "low": low, "high": high})
        by_segment: dict[int, dict[str, bytes]] = {}
        for name, segment, bits in rows:
            assert isinstance(name, str)
            assert isinstance(segment, int)
            assert isinstance(bits, bytes)
            by_segment.setdefault(segment, {})[name] = bits
        needed = [frozenset(term) for term in self._terms]
        return {
            segment: reduce(and_, (_any(present, term) for term in needed))
            for segment, present in by_segment.items()
            if not any(term.isdisjoint(present) for term in needed)
        }


async def _texts_with(reader: Reader, word: Word) -> Term | None:
    """The facets that stand for texts with this word, or `None` where they are too many."""
    parameters: Parameters = {"match": words.match(word.start), "limit": MAX_TEXTS + 1}
    rows = await reader.all("words_find", parameters)
    if len(rows) > MAX_TEXTS:
        return None
    texts = tuple(name for (name,) in rows if isinstance(name, str) and name.partition(":")[0] in word.within)
    return (*texts, facets.HIDDEN) if word.or_hidden else texts


def _any(present: Mapping[str, bytes], term: frozenset[str]) -> int:
    return reduce(or_, (facets.unpack(bits) for name, bits in present.items() if name in term))


def _intersect(one: Bitmaps, other: Bitmaps) -> Bitmaps:
    return {segment: bits & other[segment] for segment, bits in one.items() if segment in other}


def _numbers(bitmaps: Bitmaps, low: int, high: int) -> Iterator[int]:
    for segment in sorted(bitmaps, reverse=True):
        for n in facets.numbers(segment, bitmaps[segment]):
            if low <= n < high:
                yield n
