"""The Merkle tree over the log's leaves as functions of values: roots, proofs and their verification (RFC 9162, 2.1).

A *complete subtree* `(level, index)` has the leaves `[index << level, (index + 1) << level)`. Everything about a tree
of any size can be told from the hashes of complete subtrees, which never change once they are complete.

Standard library only, and nothing of ours: these lines are also part of the stand-alone verifier.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves."""
MAX_SIZE = (1 << 63) - 1
_SIZE_BYTES = 8

Subtree = Callable[[int, int], bytes]
"""`(level, index)` -> hash of that complete subtree; it must lie within the tree that is asked about."""


class ProofError(ValueError):
    """A proof was asked for that no tree has, or serialised hashes are not what they should be."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node (RFC 9162 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def parents(nodes: Sequence[bytes]) -> list[bytes]:
    """The level above: one hash for each pair. A last node without a partner is left out."""
    each = iter(nodes)
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(each, each, strict=False)]


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root of a tree with these leaf hashes, level by level: a node without a partner moves up as it is."""
    if not leaves:
        return EMPTY_ROOT
    nodes = leaves
    while len(nodes) > 1:
        above = parents(nodes)
        if len(nodes) & 1:
            above.append(nodes[-1])
        nodes = above
    return nodes[0]


@dataclass(frozen=True, slots=True)
class Frontier:
    """A growing tree, reduced to what its future needs: the hash of one complete subtree for each 1 bit of its size.

    `peaks` stand from the largest subtree, which has the first leaves, to the smallest.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def extend(self, leaves: Sequence[bytes]) -> "Frontier":
        """The tree with these leaf hashes behind it; costs one hash for each leaf, and this value stays as it is."""
        size = self.size + len(leaves)
        waiting = list(self.peaks)
        peaks: list[bytes] = []
        nodes, level = list(leaves), 0
        while nodes:
            if self.size >> level & 1:
                nodes.insert(0, waiting.pop())
            if len(nodes) & 1:
                peaks.append(nodes[-1])
            nodes = parents(nodes)
            level += 1
        return Frontier(size, (*waiting, *reversed(peaks)))

    @property
    def root(self) -> bytes:
        return _fold(self.peaks)

    def to_bytes(self) -> bytes:
        return self.size.to_bytes(_SIZE_BYTES, "big") + b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Frontier":
        """Raises `ProofError` where the length does not fit the size."""
        size, rest = int.from_bytes(data[:_SIZE_BYTES], "big"), data[_SIZE_BYTES:]
        if len(data) < _SIZE_BYTES or size > MAX_SIZE or len(rest) != size.bit_count() * HASH_BYTES:
            raise ProofError("these bytes are no frontier of a tree")
        return cls(size, tuple(rest[start : start + HASH_BYTES] for start in range(0, len(rest), HASH_BYTES)))

    @classmethod
    def of(cls, size: int, subtree: Subtree) -> "Frontier":
        """The frontier of a tree whose complete subtrees are known."""
        return cls(size, tuple(_peaks(0, size, subtree)))


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """The hashes from the leaf's sibling up to the root's child (RFC 9162 2.1.3.1).

    Raises `ProofError` unless `0 <= index < size`.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_span(middle, end, subtree))
            end = middle
        else:
            path.append(_span(start, middle, subtree))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """What shows that the tree of `old` leaves is the beginning of the one of `new` leaves (RFC 9162 2.1.4.1).

    Empty for `old` 0, the beginning of every tree, and for `old == new`. Raises `ProofError` unless
    `0 <= old <= new`.
    """
    if not 0 <= old <= new <= MAX_SIZE:
        raise ProofError(f"a tree of {old} leaves is no beginning of one of {new}")
    if old in (0, new):
        return []
    path = []
    start, end = 0, new
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_span(middle, end, subtree))
            end = middle
        else:
            path.append(_span(start, middle, subtree))
            start = middle
    if start:
        path.append(_span(start, end, subtree))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the leaf stands at `index` of the tree with that size and root (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size <= MAX_SIZE or not _hashes((leaf, root, *proof)):
        return False
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while node and not node & 1:
                node >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        node >>= 1
        last >>= 1
    return last == 0 and found == root


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of the first size and root is the beginning of the second (RFC 9162 2.1.4.2)."""
    if not 0 <= old <= new <= MAX_SIZE or not _hashes((old_root, new_root, *proof)):
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node >>= 1
        last >>= 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first = node_hash(sibling, first)
            second = node_hash(sibling, second)
            while node and not node & 1:
                node >>= 1
                last >>= 1
        else:
            second = node_hash(second, sibling)
        node >>= 1
        last >>= 1
    return last == 0 and first == old_root and second == new_root


def _split(size: int) -> int:
    """The largest power of two below `size`: how many leaves the left half has."""
    return 1 << ((size - 1).bit_length() - 1)


def _peaks(start: int, end: int, subtree: Subtree) -> Iterable[bytes]:
    """The complete subtrees that make up `[start, end)`, largest first; `start` is a multiple of the largest."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield subtree(level, start >> level)
        start += 1 << level


def _span(start: int, end: int, subtree: Subtree) -> bytes:
    return _fold(tuple(_peaks(start, end, subtree)))


def _fold(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    found = peaks[-1]
    for peak in peaks[-2::-1]:
        found = node_hash(peak, found)
    return found


def _hashes(values: Iterable[bytes]) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
