"""Which key speaks for which sizes of a log, as its own `key` records say.

A `key` record with `vkey` announces a key: the first of a log, or the successor of the one in force. The key in force
signs the checkpoint that covers the announcement and is destroyed; a following `key` record carries that checkpoint
and so ends the epoch. Larger sizes are the successor's to sign, sizes up to it never are: whoever steals the key in
force today can sign nothing of earlier epochs.

Standard library and pure modules only: these lines are also part of the stand-alone verifier.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mcp_guard.audit.chain_check import Broken
from mcp_guard.model.note import Checkpoint, NoteError, VerifierKey, Verify, open_note, parse_note

Root = Callable[[int], bytes | None]
"""The root of the log at a size, where it has that many records."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The key for sizes in `(after, until]`; `since` is the number of the record that put it in force."""

    key: VerifierKey
    after: int = 0
    until: int | None = None
    since: int = 0

    def covers(self, size: int) -> bool:
        return self.after < size and (self.until is None or size <= self.until)


def read_epochs(records: Iterable[tuple[int, bytes]], origin: str, root: Root, verify: Verify) -> list[Epoch] | Broken:
    """The epochs of a log by its `key` records, each hand-over checked; or the first record that is wrong."""
    epochs: list[Epoch] = []
    announced: tuple[int, VerifierKey] | None = None
    for n, state in states("key", records):
        try:
            if isinstance(vkey := state.get("vkey"), str):
                key = VerifierKey.parse(vkey)
                if epochs:
                    announced = n, key
                else:
                    epochs.append(Epoch(key, since=n))
            if isinstance(text := state.get("checkpoint"), str) and announced:
                size = _handed_over(text, epochs[-1].key, origin, root, verify)
                if not announced[0] < size <= n:
                    raise NoteError("its checkpoint does not cover the key it hands over to")
                epochs[-1] = Epoch(epochs[-1].key, epochs[-1].after, size, epochs[-1].since)
                epochs.append(Epoch(announced[1], size, since=n))
                announced = None
        except NoteError as error:
            return Broken(n, f"it changes the key of the log, and {error}")
    return epochs


def trusted_epochs(epochs: Sequence[Epoch], keys: Iterable[VerifierKey]) -> list[Epoch]:
    """The epochs that one of these keys speaks for: its own, and those that follow by hand-over.

    Without any epoch on record a key speaks for every size.
    """
    known = set(keys)
    if not epochs:
        return [Epoch(key) for key in known]
    first = next((place for place, epoch in enumerate(epochs) if epoch.key in known), len(epochs))
    return list(epochs[first:])


def states(kind: str, records: Iterable[tuple[int, bytes]]) -> list[tuple[int, dict[str, object]]]:
    """The `state` of each record of a kind."""
    found = []
    for n, line in records:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and record.get("kind") == kind and isinstance(record.get("state"), dict):
            found.append((n, record["state"]))
    return found


def _handed_over(text: str, key: VerifierKey, origin: str, root: Root, verify: Verify) -> int:
    """The size of the checkpoint that ends an epoch. Raises `NoteError`."""
    note = parse_note(text.encode())
    open_note(note, (key,), verify)
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin != origin or checkpoint.root != root(checkpoint.size):
        raise NoteError("its checkpoint is not of this log")
    return checkpoint.size
