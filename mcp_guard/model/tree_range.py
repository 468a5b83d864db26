"""Any part of a Merkle tree, reduced to complete subtrees: parts are hashed apart and joined afterwards.

A `Frontier` is such a part that begins with the first leaf. A part that begins elsewhere cannot be folded to a root,
but it can be put behind the part before it.
"""

from collections.abc import Iterable, Sequence

from mcp_guard.model.merkle import Frontier, node_hash, parents

Subtrees = tuple[tuple[int, int, bytes], ...]
"""`(level, index, hash)` of complete subtrees, from left to right, none of which could be joined with its neighbour."""


class TreeRange:
    """The leaves `[first, end)`: grows to the right by leaves or by another range."""

    def __init__(self, first: int = 0, subtrees: Subtrees = ()) -> None:
        self.end = first
        self._subtrees: list[tuple[int, int, bytes]] = []
        self.join(subtrees)

    @property
    def subtrees(self) -> Subtrees:
        return tuple(self._subtrees)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Put leaf hashes behind; one hash for each, whole levels at a time."""
        nodes: Sequence[bytes] = leaves
        index, level = self.end, 0
        self.end += len(leaves)
        right: list[tuple[int, int, bytes]] = []
        while nodes:
            if index & 1:
                index, nodes = self._even(level, index, nodes)
            if len(nodes) & 1:
                right.append((level, index + len(nodes) - 1, nodes[-1]))
            nodes, index, level = parents(nodes), index >> 1, level + 1
        self._subtrees += reversed(right)

    def join(self, subtrees: Iterable[tuple[int, int, bytes]]) -> None:
        """Put the subtrees of the range that follows behind."""
        for level, index, node in subtrees:
            self.end = (index + 1) << level
            self._push(level, index, node)

    def root(self) -> bytes:
        """The root of the tree of these leaves; only for a range from the first leaf on."""
        return root(self._subtrees)

    def _even(self, level: int, index: int, nodes: Sequence[bytes]) -> tuple[int, Sequence[bytes]]:
        """Let nodes begin at an even index: with the sibling that waits, or without the first, which has none here."""
        if self._subtrees and self._subtrees[-1][:2] == (level, index - 1):
            return index - 1, [self._subtrees.pop()[2], *nodes]
        self._subtrees.append((level, index, nodes[0]))
        return index + 1, nodes[1:]

    def _push(self, level: int, index: int, node: bytes) -> None:
        while index & 1 and self._subtrees and self._subtrees[-1][:2] == (level, index - 1):
            node = node_hash(self._subtrees.pop()[2], node)
            level, index = level + 1, index >> 1
        self._subtrees.append((level, index, node))


def root(subtrees: Iterable[tuple[int, int, bytes]]) -> bytes:
    """The root of a tree given by its complete subtrees from the first leaf on."""
    return Frontier(0, tuple(node for _, _, node in subtrees)).root
