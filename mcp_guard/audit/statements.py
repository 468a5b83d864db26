"""What signatures and acknowledgements say of a log that was read: up to where it is signed, and anchored outside.

Standard library and pure modules only: these lines are also part of the stand-alone verifier.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mcp_guard.audit.chain_check import Broken
from mcp_guard.audit.cut import Cut
from mcp_guard.audit.key_epochs import NO_KEYS, Epoch, Root, read_epochs, states, trusted_epochs
from mcp_guard.model.note import (
    Checkpoint,
    Note,
    NoteError,
    VerifierKey,
    Verify,
    decode_base64,
    open_note,
    parse_note,
    to_bytes,
)

Stamped = Callable[[bytes, bytes], int | None]
"""`(note, token)` -> when (unix seconds) a trusted time-stamp authority saw the note, or `None`."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A checkpoint somebody showed. `record` is the number of the record it stands in, if it stands in one; `token` a
    time stamp (RFC 3161) over the note."""

    note: Note
    checkpoint: Checkpoint
    record: int | None = None
    token: bytes | None = None

    @classmethod
    def parse(cls, data: bytes, record: int | None = None, token: bytes | None = None) -> "Statement":
        """Raises `NoteError`."""
        note = parse_note(data)
        return cls(note, Checkpoint.parse(note.text), record, token)


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe: keys of the log, of any epoch, and keys of witnesses; `verify` checks a signature.

    `complete`: these are all the keys the log was ever signed with, the first first. `stamped` says when a trusted
    time-stamp authority saw a note, by a token over it; without it tokens count for nothing.
    """

    verify: Verify
    keys: tuple[VerifierKey, ...] = ()
    witnesses: tuple[VerifierKey, ...] = ()
    complete: bool = False
    stamped: Stamped | None = None

    @property
    def outside(self) -> bool:
        """Whether anybody elsewhere is believed."""
        return bool(self.witnesses) or self.stamped is not None

    def stamp(self, statement: Statement) -> int | None:
        """When a trusted authority saw the statement (unix seconds); `None` where none did."""
        if self.stamped is None or statement.token is None:
            return None
        return self.stamped(statement.note.format(), statement.token)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Somebody elsewhere confirmed the log up to `size` at `time` (unix seconds)."""

    size: int
    time: int
    by: str


@dataclass(slots=True)
class Verdict:
    """How many records a checked signature covers, who acknowledged them, and the first that contradicts one."""

    signed: int = 0
    acknowledged: tuple[Acknowledged, ...] = ()
    error: Broken | None = None


def recorded_anchors(records: Iterable[tuple[int, bytes]]) -> list[Statement]:
    """The checkpoints that `anchor` records of a log carry, with the cosignatures they came back with."""
    found = []
    for n, state in states("anchor", records):
        if isinstance(text := state.get("checkpoint"), str):
            try:
                found.append(Statement.parse(to_bytes(text), n, _token(state)))
            except NoteError:
                continue  # it vouches for nothing
    return found


def _token(state: dict[str, object]) -> bytes | None:
    text = state.get("token")
    return decode_base64(text) if isinstance(text, str) else None


def hold_against(
    statements: Sequence[Statement],
    keys: Sequence[tuple[int, bytes]],
    trust: Trust,
    *,
    origin: str | None,
    records: int,
    root: Root,
    cut: Cut | None = None,
) -> Verdict:
    """Hold a log of `records` good records against what was signed of it. `keys` are its `key` records.

    With `cut` the records before it are not here.
    """
    verdict = Verdict()
    origin = origin or next((statement.checkpoint.origin for statement in statements), None)
    good = 0
    for statement in sorted(statements, key=lambda statement: statement.checkpoint.size):
        if cut is not None and statement.checkpoint.size < cut.size:
            size = statement.checkpoint.size
            what = f"a checkpoint of size {size} can only be checked together with the archive of what was pruned"
            verdict.error = Broken(cut.size, what)
            return verdict
        verdict.error = _contradiction(statement, origin, records, root, good)
        if verdict.error is not None:
            return verdict
        good = statement.checkpoint.size
    before = cut.standing if cut is not None else NO_KEYS
    epochs = read_epochs(keys, origin or "", root, trust.verify, before) if trust.keys else []
    if isinstance(epochs, Broken):
        verdict.error = epochs
        return verdict
    trusted = trusted_epochs(epochs, trust.keys, complete=trust.complete, pruned=before.epoch is not None)
    if isinstance(trusted, Broken):
        verdict.error = trusted
        return verdict
    _check_signatures(verdict, statements, epochs, trusted, trust)
    return verdict


def _contradiction(statement: Statement, origin: str | None, records: int, root: Root, good: int) -> Broken | None:
    """How a log contradicts a checkpoint; its first `good` records are what was signed."""
    checkpoint = statement.checkpoint
    if checkpoint.origin != origin:
        return Broken(0, f"it belongs to another log: the checkpoint is of {checkpoint.origin}")
    if checkpoint.size > records:
        return Broken(records, f"it is missing: the log was cut off, {checkpoint.size} records were signed")
    if checkpoint.root == root(checkpoint.size):
        return None
    which = f"the records from {good} to {checkpoint.size - 1} are not the ones that were"
    return Broken(good, f"the log does not contain what was signed at size {checkpoint.size}: {which}")


def _check_signatures(
    verdict: Verdict, statements: Sequence[Statement], epochs: Sequence[Epoch], trusted: list[Epoch], trust: Trust
) -> None:
    acknowledged: list[Acknowledged] = []
    earlier = list(epochs[: len(epochs) - len(trusted)])
    for statement in sorted(statements, key=lambda statement: statement.checkpoint.size, reverse=True):
        size = statement.checkpoint.size
        try:
            acknowledged += _cosigned(statement, trust)
            if trust.keys and size and statement.record is None:
                _check_signed(statement, trusted, trust.verify)
                verdict.signed = max(verdict.signed, size)
        except NoteError as error:
            verdict.error = Broken(max(0, size - 1), f"the checkpoint of size {size} is not as it must be: {error}")
            return
        while earlier and trusted[0].since < verdict.signed:
            trusted.insert(0, earlier.pop())  # the hand-over stands in what a trusted key signed
    verdict.acknowledged = tuple(acknowledged)


def _check_signed(statement: Statement, epochs: Sequence[Epoch], verify: Verify) -> None:
    """Raises `NoteError` unless the key in force at its size signed a checkpoint."""
    signers = {key for key, _ in open_note(statement.note, [epoch.key for epoch in epochs], verify)}
    if not any(epoch.key in signers and epoch.covers(statement.checkpoint.size) for epoch in epochs):
        raise NoteError("it is signed with a key that is not the one in force at its size")


def _cosigned(statement: Statement, trust: Trust) -> list[Acknowledged]:
    known = [key for key in trust.witnesses if any(map(key.signed_by, statement.note.signatures))]
    size, time = statement.checkpoint.size, trust.stamp(statement)
    stamped = [] if time is None else [Acknowledged(size, time, "a time-stamp authority")]
    found = open_note(statement.note, known, trust.verify) if known else ()
    return stamped + [Acknowledged(size, signature.time, key.name) for key, signature in found]
