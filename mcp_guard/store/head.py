"""The head of the log as a Merkle tree: its root after every commit, signed by whoever holds a key.

Nothing here knows keys. What is signed is always what the file says after a commit, under the store's lock, so no
signature can exist for records that might still be lost.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from mcp_guard.kit.clock import Clock
from mcp_guard.model.errors import GuardError, LogBroken
from mcp_guard.model.merkle import Frontier
from mcp_guard.model.note import Checkpoint, NoteError, parse_note
from mcp_guard.store import tiles
from mcp_guard.store.tiles import TilesDamaged, read_leaves
from mcp_guard.store.transaction import Parameters, Row, Transaction
from mcp_guard.store.values import Signed

One = Callable[[str, Parameters], Row | None]
"""The first row of a named query."""


class Signing(Protocol):
    """Whoever holds the key. Both are called under the store's lock."""

    def refresh(self, one: One) -> None:
        """The log was moved on by others, who may have changed the key. Never raises."""
        ...

    def sign(self, size: int, root: bytes) -> bytes:
        """A signed note about the log with that many records. Raises `GuardError` where that cannot be."""
        ...


KEPT = 1024
"""Checkpoints kept besides those kept for good."""
_CHUNK = 1024


class Head:
    """Follows the log of one ledger, signs what it is told to, and remembers what must be stored.

    `signed` is the newest signed head this process knows; `failure` says why the last signing did not work.
    """

    def __init__(self, signing: Signing, every: float, clock: Clock) -> None:
        self._signing = signing
        self._every = every
        self._clock = clock
        self._frontier: Frontier | None = None
        self._stored = 0
        self._stored_at = clock.monotonic()
        self.signed: Signed | None = None
        self.failure: GuardError | None = None

    def follow(self, transaction: Transaction, size: int) -> None:
        """Take in what the file holds now, written by whomever.

        Raises `LogBroken` where it is not what was signed before.
        """
        self._signing.refresh(transaction.one)
        if self._frontier is None or self._frontier.size > size:
            self._frontier = self._load(transaction, size)
        while self._frontier.size < size:
            self._frontier = self._frontier.extend(read_leaves(transaction, self._frontier.size, _CHUNK))

    def grow(self, first: int, leaves: Sequence[bytes]) -> None:
        """Take in what was just committed."""
        if self._frontier is not None and self._frontier.size == first:
            self._frontier = self._frontier.extend(leaves)

    def sign(self) -> Signed | None:
        """Sign the log as it is. A failure is remembered, and the records stand all the same."""
        tree = self._frontier
        if tree is None or tree.size == 0:
            return None
        if self.signed is not None and self.signed.size == tree.size:
            return self.signed
        try:
            self.signed = Signed(tree.size, self._signing.sign(tree.size, tree.root))
            self.failure = None
        except GuardError as error:
            self.failure = error
            return None
        return self.signed

    @property
    def rest(self) -> float | None:
        """Seconds until a checkpoint is to be stored; `None` where every record is covered by a stored one."""
        if self._frontier is None or self._frontier.size <= self._stored:
            return None
        return max(0.0, self._stored_at + self._every - self._clock.monotonic())

    def store(self, transaction: Transaction, *, at_once: bool = False) -> None:
        """Store the newest signed head if that is due. The caller commits, or calls `forget`."""
        rest = self.rest
        if rest is None or (rest > 0 and not at_once):
            return
        self._stored_at = self._clock.monotonic()
        if (signed := self.sign()) is not None:
            put(transaction, signed)
            self._stored = signed.size

    def forget(self) -> None:
        """After a failed commit: believe nothing that only it would have made true."""
        self._stored = 0

    def _load(self, transaction: Transaction, size: int) -> Frontier:
        """The tree from tiles where they agree with the last checkpoint, else from the lines."""
        last = _last(transaction)
        known = min(tiles.tiled(transaction), size)
        subtree = tiles.subtrees(tiles.reading(transaction), known)
        try:
            tree = Frontier.of(known, subtree)
            if last is None or last.size > known or Frontier.of(last.size, subtree).root == last.root:
                return self._extend(transaction, tree, size, last)
        except TilesDamaged:
            pass
        tiles.clear(transaction)
        return self._extend(transaction, Frontier(), size, last)

    def _extend(self, transaction: Transaction, tree: Frontier, size: int, last: Checkpoint | None) -> Frontier:
        if last is not None and last.size > size:
            raise _broken(last.size)
        if last is not None and last.size > tree.size:
            tree = _read(transaction, tree, last.size)
            if tree.root != last.root:
                raise _broken(last.size)
        if last is not None:
            self._stored = last.size
        return _read(transaction, tree, size)


def put(transaction: Transaction, signed: Signed, *, for_good: bool = False) -> None:
    """Store a signed head. The newest stay, and those that are needed for good."""
    transaction.run("checkpoint_put", {"size": signed.size, "note": signed.note.decode(), "for_good": int(for_good)})
    transaction.run("checkpoints_prune", {"keep": KEPT})


def _read(transaction: Transaction, tree: Frontier, size: int) -> Frontier:
    while tree.size < size:
        leaves = read_leaves(transaction, tree.size, min(_CHUNK, size - tree.size))
        if not leaves:
            raise LogBroken(f"record {tree.size} of the log is missing")
        tree = tree.extend(leaves)
    return tree


def _last(transaction: Transaction) -> Checkpoint | None:
    row = transaction.one("checkpoint_last")
    if row is None:
        return None
    try:
        return Checkpoint.parse(parse_note(str(row[1]).encode()).text)
    except NoteError:
        raise LogBroken("the newest stored checkpoint is none") from None


def _broken(size: int) -> LogBroken:
    return LogBroken(f"the log is not the one that was signed when it had {size} records")
