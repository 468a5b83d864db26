"""Proofs about the log of a store, made from its tiles and the lines behind them."""

from collections.abc import Iterable
from pathlib import Path

from mcp_guard.audit.archive import line_of
from mcp_guard.audit.proof_file import ProofFile, Proven
from mcp_guard.model.errors import LogBroken, UsageError
from mcp_guard.model.merkle import Frontier, Subtree, consistency_proof, inclusion_proof, verify_consistency
from mcp_guard.model.note import Checkpoint, NoteError, parse_note
from mcp_guard.store.store import Store
from mcp_guard.store.tree import Tree
from mcp_guard.store.values import Signed

_UNSIGNED = "There is no checkpoint that covers this record yet."
_LATER = "`mcp-guard audit checkpoint` makes one"


class Proofs:
    """Every method raises `StoreUnavailable` where the store cannot be read.

    `archive` is where the lines of pruned records are; their places in the tree are still here.
    """

    def __init__(self, store: Store, archive: Path | None = None) -> None:
        self._store = store
        self._archive = archive
        self._tree = Tree(store.reader)

    def checkpoint(self) -> Signed | None:
        """The newest signed head this process knows of; `None` where the log was never signed."""
        signed = self._store.writer.signed if self._store.writes else None
        row = self._store.reader.peek("checkpoint_last")
        if row is None or (signed is not None and signed.size >= _whole(row[0])):
            return signed
        return Signed(_whole(row[0]), str(row[1]).encode())

    async def inclusion(self, numbers: Iterable[int], under: Signed | None = None) -> ProofFile:
        """That records stand in the log of the newest checkpoint, or of the one given.

        Raises `UsageError` where it does not cover them, or the log has no such record.
        """
        wanted = sorted(numbers, reverse=True)
        signed = under or self.checkpoint()
        if signed is None or signed.size <= wanted[0]:
            self._line(wanted[0])
            raise UsageError(_UNSIGNED, hint=_LATER)
        try:
            head = Checkpoint.parse(parse_note(signed.note).text)
        except NoteError:
            raise LogBroken("the newest stored checkpoint is none") from None
        return ProofFile(tuple([await self._proven(n, head) for n in wanted]), signed.note)

    async def consistency(self, old: Checkpoint, new: Checkpoint) -> list[bytes]:
        """That the log of one checkpoint is the beginning of another's.

        Raises `ProofError` where the first is longer, `LogBroken` where one of them is not of this log.
        """

        def make(subtree: Subtree) -> list[bytes]:
            return consistency_proof(old.size, new.size, subtree)

        def holds(proof: list[bytes]) -> bool:
            return verify_consistency(old.size, old.root, new.size, new.root, proof)

        return await self._tree.prove(new.size, make, holds)

    async def growth(self, old: int, new: Checkpoint) -> tuple[bytes, list[bytes]]:
        """The root the log had at size `old`, and that it grew from there to a checkpoint.

        Raises `ProofError` where `old` is larger, `LogBroken` where the checkpoint is not of this log.
        """

        def make(subtree: Subtree) -> tuple[bytes, list[bytes]]:
            return Frontier.of(old, subtree).root, consistency_proof(old, new.size, subtree)

        def holds(made: tuple[bytes, list[bytes]]) -> bool:
            return verify_consistency(old, made[0], new.size, new.root, made[1])

        return await self._tree.prove(new.size, make, holds)

    async def _proven(self, n: int, head: Checkpoint) -> Proven:
        line = self._line(n)

        def make(subtree: Subtree) -> Proven:
            return Proven(n, line, tuple(inclusion_proof(n, head.size, subtree)))

        return await self._tree.prove(head.size, make, lambda proven: proven.holds(head))

    def _line(self, n: int) -> bytes:
        row = self._store.reader.peek("log_line", {"n": n})
        if row is not None:
            return str(row[0]).encode()
        (first,) = self._store.reader.peek("log_first") or (None,)
        if not isinstance(first, int) or n >= first:
            raise UsageError("There is no such record in the log.", hint="`mcp-guard audit tail` shows their numbers")
        line = None if self._archive is None else line_of(self._archive, n)
        if line is None:
            raise UsageError(f"Record {n} was pruned, and its line is not in the archive.", hint="--archive names it")
        return line


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value
