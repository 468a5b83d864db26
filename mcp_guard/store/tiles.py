"""The Merkle tree over the lines, kept in tiles of 256 hashes (c2sp.org/tlog-tiles) so that proofs need few reads.

Tiles follow the lines as the facet index does: behind the commit, always what the lines alone would give, and never
evidence. Whoever finds them wrong clears them, and they are made anew. Of pruned records the lowest tiles are all there
is: those are never cleared, and what the log signed since tells whether they are right.
"""

from collections.abc import Callable, Sequence

from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.errors import LogBroken
from mcp_guard.model.merkle import HASH_BYTES, Subtree, node_hash, root_of
from mcp_guard.store.transaction import Transaction

TILE_BITS = 8
TILE = 1 << TILE_BITS
TILED = "tiled"

ReadTile = Callable[[int, int], bytes]
"""`(level, position)` -> the hashes of a tile, joined; empty where there is none."""


class TilesDamaged(Exception):
    """A tile lacks hashes it must have."""


def tiled(transaction: Transaction) -> int:
    """The first record the tiles do not know."""
    row = transaction.one("meta_get", {"key": TILED})
    return int(str(row[0])) if row else 0


def advance(transaction: Transaction, leaves: Sequence[bytes]) -> int:
    """Put further leaf hashes into tiles; the first record still unknown. The caller commits."""
    first = tiled(transaction)
    if not leaves:
        return first
    try:
        _extend(transaction, 0, first, leaves)
    except TilesDamaged:
        clear(transaction)
        return 0
    end = first + len(leaves)
    transaction.run("meta_put", {"key": TILED, "value": str(end)})
    return end


def clear(transaction: Transaction) -> None:
    """Forget every tile, so that they are made anew from the lines, and from the leaves of pruned records."""
    transaction.run("tiles_clear", {"pruned": first_line(transaction) >> TILE_BITS})
    transaction.run("meta_put", {"key": TILED, "value": "0"})


def first_line(transaction: Transaction) -> int:
    """The number of the first record whose line is here; 0 for a log nobody pruned, a multiple of `TILE` else."""
    row = transaction.one("log_first")
    return row[0] if row is not None and isinstance(row[0], int) else 0


def read_leaves(transaction: Transaction, first: int, limit: int) -> list[bytes]:
    """The leaf hashes of up to `limit` records from `first` on. Raises `LogBroken` where leaves are gone."""
    if first < first_line(transaction):
        return pruned_leaves(reading(transaction), first, limit)
    rows = transaction.all("log_lines_from", {"first": first, "limit": limit})
    return [bytes.fromhex(leaf_hash(line)) for _, line in rows if isinstance(line, bytes)]


def pruned_leaves(read: ReadTile, first: int, limit: int) -> list[bytes]:
    """The leaf hashes of up to `limit` pruned records from `first` on, as far as one tile goes. Raises `LogBroken`."""
    position, start = divmod(first, TILE)
    try:
        return split(read(0, position), TILE)[start : start + limit]
    except TilesDamaged:
        hint = "put a backup of the store back; the archive has the lines"
        raise LogBroken(f"the leaves of pruned records from {position * TILE} on are damaged", hint=hint) from None


def reading(transaction: Transaction) -> ReadTile:
    """Tiles as a transaction sees them."""

    def read(level: int, position: int) -> bytes:
        return _hashes(transaction.one("tile_get", {"level": level, "position": position}))

    return read


def _hashes(row: tuple[object, ...] | None) -> bytes:
    return row[0] if row is not None and isinstance(row[0], bytes) else b""


def subtrees(read: ReadTile, known: int, leaves: Sequence[bytes] = ()) -> Subtree:
    """The hash of every complete subtree: from tiles up to record `known`, from the leaves that follow beyond.

    What it returns raises `TilesDamaged` where a tile is missing or too short.
    """
    seen: dict[tuple[int, int], bytes] = {}

    def tile(level: int, position: int) -> bytes:
        if (level, position) not in seen:
            seen[level, position] = read(level, position)
        return seen[level, position]

    def subtree(level: int, index: int) -> bytes:
        if (index + 1) << level <= known:
            return _inside(tile, level, index)
        if level == 0:
            return leaves[index - known]
        return node_hash(subtree(level - 1, 2 * index), subtree(level - 1, 2 * index + 1))

    return subtree


def _inside(tile: ReadTile, level: int, index: int) -> bytes:
    """A subtree whose leaves the tiles all know: what the hashes under it, in one tile, add up to."""
    above, within = divmod(level, TILE_BITS)
    first = index << within
    start = first % TILE * HASH_BYTES
    return root_of(split(tile(above, first >> TILE_BITS)[start:], 1 << within))


def split(data: bytes, count: int) -> list[bytes]:
    """The first `count` hashes of joined ones. Raises `TilesDamaged` where there are fewer."""
    if len(data) < count * HASH_BYTES:
        raise TilesDamaged
    return [data[start : start + HASH_BYTES] for start in range(0, count * HASH_BYTES, HASH_BYTES)]


def _extend(transaction: Transaction, level: int, first: int, hashes: Sequence[bytes]) -> None:
    """Put hashes behind the `first` ones of a level; every tile that is full then adds one to the level above."""
    read, full = reading(transaction), []
    above = first >> TILE_BITS
    while hashes:
        position, start = divmod(first, TILE)
        old = read(level, position)[: start * HASH_BYTES] if start else b""
        here = [*split(old, start), *hashes[: TILE - start]]
        transaction.run("tile_put", {"level": level, "position": position, "hashes": b"".join(here)})
        if len(here) == TILE:
            full.append(root_of(here))
        hashes, first = hashes[TILE - start :], first + TILE - start
    if full:
        _extend(transaction, level + 1, above, full)
