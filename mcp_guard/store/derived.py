"""What is made of the log's lines, made anew and held against what a store has: the index, the tiles, the tables.

Searches and proofs are only as good as these, so an attacker need not touch a line to hide one. The very code that
made them makes them again, in a database of its own on the side, from the store's lines as of one moment.
"""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.merkle import HASH_BYTES, Frontier
from mcp_guard.store import facets, indexer, tiles, words
from mcp_guard.store.database import reader_address
from mcp_guard.store.errors import unavailable
from mcp_guard.store.queries import migrations, split
from mcp_guard.store.transaction import Parameters, Row, Transaction

_STEP = 8192
_MOST_DIGITS = 18
_NOT_PRUNED = "a line is kept for it as of a pruned intent, and is not its"


class Unlike(NamedTuple):
    """Something beside the log that the lines do not give. `n` is the first record it is about, if it is about one."""

    n: int | None
    what: str


def find_unlike(path: Path, pruned: Frontier | None = None) -> Unlike | None:
    """The first thing that is not as it must be. Raises `StoreUnavailable`.

    `pruned` is the tree of the pruned records, of which the lowest tiles are believed if they add up to it.

    A store of an earlier version is not judged: the next process that writes makes everything anew.
    """
    try:
        with closing(sqlite3.connect("", uri=True, isolation_level=None)) as connection:
            return _Comparison(connection, path, pruned or Frontier()).first()
    except (sqlite3.Error, OSError) as error:
        raise unavailable(error) from None


class _Comparison:
    def __init__(self, connection: sqlite3.Connection, path: Path, pruned: Frontier) -> None:
        self._pruned = pruned
        for _, script in migrations():
            for statement in split(script):
                connection.execute(statement)
        self._transaction = Transaction(connection)
        self._schema = set(self._transaction.all("own_schema"))
        self._transaction.run("own_log_drop")
        self._transaction.run("trusted_schema_off")
        self._transaction.run("own_pruned_intent_drop")
        self._transaction.run("kept_attach", {"address": reader_address(path)})

    def first(self) -> Unlike | None:
        self._transaction.run("begin_reading")
        if self._transaction.one("kept_version") != (migrations()[-1][0],):
            return None
        return next((found for look in self._looks() for found in look), None)

    def _looks(self) -> Iterator[Iterator[Unlike]]:
        yield self._foreign()
        yield self._leaves()
        yield self._short()
        yield self._postings()
        yield self._digests()
        yield self._tiles()
        yield self._phrases()

    def _foreign(self) -> Iterator[Unlike]:
        """Tables, triggers and views: no others than ours, as we make them."""
        kept = {row for row in self._transaction.all("kept_schema") if not _is_word_table(row)}
        for kind, name, _ in sorted(kept - self._schema, key=str):
            yield Unlike(None, f"the store has a {kind!s} called {name!s} that mcp-guard did not make so")
        for kind, name, _ in sorted(self._schema - kept, key=str):
            yield Unlike(None, f"the store lacks its {kind!s} {name!s}")

    def _leaves(self) -> Iterator[Unlike]:
        """The leaves of pruned records, and the lines kept of some of them. What is made anew begins with them."""
        size = self._pruned.size
        if size == 0:
            yield from (Unlike(int(str(n)), _NOT_PRUNED) for n, _ in self._transaction.all("pruned_intents_all"))
            return
        self._transaction.run("own_leaves_take", {"end": size >> tiles.TILE_BITS})
        self._transaction.run("meta_put", {"key": indexer.INDEXED, "value": str(size)})
        tree, read = Frontier(), tiles.reading(self._transaction)
        while tree.size < size:
            try:
                tree = tree.extend(tiles.split(read(0, tree.size >> tiles.TILE_BITS), tiles.TILE))
            except tiles.TilesDamaged:
                break
        if tree != self._pruned:
            yield Unlike(size - 1, "the leaves kept of pruned records are not those that were pruned")
            return
        for n, line in self._transaction.all("pruned_intents_all"):
            assert isinstance(n, int)
            assert isinstance(line, bytes)
            if not 0 <= n < size or [bytes.fromhex(leaf_hash(line))] != tiles.pruned_leaves(read, n, 1):
                yield Unlike(n, _NOT_PRUNED)

    def _short(self) -> Iterator[Unlike]:
        """Index and tiles made anew; they must not know more records than there are."""
        for key, advance in ((indexer.INDEXED, self._index), (tiles.TILED, self._tile)):
            goal, done = self._kept_number(key), self._pruned.size if key == indexer.INDEXED else 0
            while done < goal:
                before, done = done, advance(min(_STEP, goal - done))
                if done == before:
                    yield Unlike(done, "it is missing, and what is kept beside the log knows it")
                    return

    def _index(self, limit: int) -> int:
        return indexer.advance(self._transaction, limit, indexer.Recent())

    def _tile(self, limit: int) -> int:
        first = tiles.tiled(self._transaction)
        return tiles.advance(self._transaction, tiles.read_leaves(self._transaction, first, limit))

    def _postings(self) -> Iterator[Unlike]:
        found = []
        for facet, segment in self._transaction.all("postings_unlike"):
            kept, own = map(_bits, self._pair("posting_pair", {"facet": facet, "segment": segment}))
            if kept != own:
                place = min(((kept ^ own) & -(kept ^ own)).bit_length(), facets.SEGMENT) - 1
                how = "does not find it" if own >> place & 1 else "finds it wrongly"
                found.append(((int(str(segment)) << facets.SEGMENT_BITS) + place, f"the index {how} by {facet!s}"))
        yield from (Unlike(n, what) for n, what in sorted(found))

    def _digests(self) -> Iterator[Unlike]:
        for kind, segment in self._transaction.all("digests_unlike"):
            kept, own = self._pair("digest_pair", {"kind": kind, "segment": segment})
            # Whether records without such an id at the end got their zeros depends on the steps it was made in.
            length = max(len(kept), len(own))
            kept, own = kept.ljust(length, b"\0"), own.ljust(length, b"\0")
            if kept == own:
                continue
            place = _first_difference(kept, own) // facets.DIGEST_BYTES
            yield Unlike((int(str(segment)) << facets.SEGMENT_BITS) + place, f"the index has another {kind!s} for it")

    def _tiles(self) -> Iterator[Unlike]:
        for level, position in self._transaction.all("tiles_unlike"):
            kept, own = self._pair("tile_pair", {"level": level, "position": position})
            place = int(str(position)) * tiles.TILE + _first_difference(kept, own) // HASH_BYTES
            yield Unlike(place << tiles.TILE_BITS * int(str(level)), "the Merkle tree beside the log has another hash")

    def _phrases(self) -> Iterator[Unlike]:
        for (facet,) in self._transaction.all("phrases_unlike"):
            yield Unlike(None, f"the index has other words for {facet!s}")
        if not words.has_index() or not any(map(_is_word_table, self._transaction.all("kept_schema"))):
            return
        self._transaction.run("kept_words_open")
        self._transaction.run("words_make")
        self._transaction.run("own_words_open")
        for (facet,) in self._transaction.all("words_unlike", {"worded": self._kept_number(indexer.WORDED)}):
            yield Unlike(None, f"the full-text index has other words for {facet or 'a text nobody wrote'!s}")

    def _pair(self, name: str, parameters: Parameters) -> tuple[bytes, bytes]:
        row = self._transaction.one(name, parameters)
        kept, own = row if row else (b"", b"")
        return kept if isinstance(kept, bytes) else b"", own if isinstance(own, bytes) else b""

    def _kept_number(self, key: str) -> int:
        row = self._transaction.one("kept_meta", {"key": key})
        text = str(row[0]) if row else "0"
        return int(text) if text.isdecimal() and len(text) < _MOST_DIGITS else 0


def _bits(data: bytes) -> int:
    """A bitmap, or -1 for bytes that are none, which is unlike every other."""
    try:
        return int.from_bytes(zlib.decompressobj().decompress(data, facets.SEGMENT // 8), "little") if data else 0
    except zlib.error:
        return -1


def _first_difference(one: bytes, other: bytes) -> int:
    """The first byte that is not the same; the shorter of the two is taken to go on with zeros."""
    length = max(len(one), len(other))
    pairs = zip(one.ljust(length, b"\0"), other.ljust(length, b"\0"), strict=True)
    return next((at for at, (left, right) in enumerate(pairs) if left != right), length)


def _is_word_table(row: Row) -> bool:
    """The full-text index and what its module makes for it. It is there only where a SQLite with that module wrote."""
    return str(row[1]).partition("_")[0] == "word"
