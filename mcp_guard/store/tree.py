"""The Merkle tree over the lines, for whoever looks: from tiles, and from the lines where those do not hold."""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.errors import LogBroken
from mcp_guard.model.merkle import HASH_BYTES, Frontier, Subtree
from mcp_guard.store.reader import Reader
from mcp_guard.store.tiles import TilesDamaged, pruned_leaves, subtrees

_CHUNK = 1024
_T = TypeVar("_T")
_Node = tuple[int, int]


class Tree:
    """Asked from the event loop's thread; a proof costs a few point look-ups. Raises `StoreUnavailable`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def prove(self, size: int, make: Callable[[Subtree], _T], holds: Callable[[_T], bool]) -> _T:
        """What `make` makes of the complete subtrees of the first `size` records, if it `holds`.

        Tiles are no evidence: where what they give does not hold, the lines are read. Raises `LogBroken` where what
        these give does not hold either.
        """
        try:
            made = make(await self._from_tiles(size))
        except TilesDamaged:
            made = None
        if made is None or not holds(made):
            wanted: set[_Node] = set()
            make(_noting(wanted))
            found = {node: await self._from_lines(*node) for node in wanted}
            made = make(lambda level, index: found[level, index])
            if not holds(made):
                raise LogBroken(f"the log is not the one that was signed when it had {size} records")
        return made

    async def _from_tiles(self, size: int) -> Subtree:
        row = self._reader.peek("meta_get", {"key": "tiled"})
        known = min(int(str(row[0])) if row else 0, size)
        return subtrees(self._tile, known, [leaf async for leaf in self._leaves(known, size)])

    def _tile(self, level: int, position: int) -> bytes:
        row = self._reader.peek("tile_get", {"level": level, "position": position})
        return row[0] if row is not None and isinstance(row[0], bytes) else b""

    async def _from_lines(self, level: int, index: int) -> bytes:
        tree, waiting = Frontier(), []
        async for leaf in self._leaves(index << level, (index + 1) << level):
            waiting.append(leaf)
            if len(waiting) == _CHUNK:
                tree, waiting = tree.extend(waiting), []
        return tree.extend(waiting).root

    async def _leaves(self, first: int, end: int) -> AsyncIterator[bytes]:
        pruned = self._reader.peek("log_first")
        while pruned and isinstance(pruned[0], int) and first < min(end, pruned[0]):
            leaves = pruned_leaves(self._tile, first, end - first)
            for leaf in leaves:
                yield leaf
            first += len(leaves)
        while first < end:
            rows = await self._reader.all("log_lines_from", {"first": first, "limit": min(_CHUNK, end - first)})
            if not rows or rows[0][0] != first:
                raise LogBroken(f"record {first} of the log is missing")
            for _, line in rows:
                assert isinstance(line, bytes)
                yield bytes.fromhex(leaf_hash(line))
            first += len(rows)


def _noting(wanted: set[_Node]) -> Subtree:
    """A tree that answers nothing and remembers what it was asked."""

    def subtree(level: int, index: int) -> bytes:
        wanted.add((level, index))
        return bytes(HASH_BYTES)

    return subtree
