"""Which key speaks for which sizes of a log, as its own `key` records say.

Such a record says `what`: `first`, the `vkey` a log begins to be signed with; `next`, the `vkey` that will follow;
`changed`, that it now does (`key`, its id), with the `checkpoint` that the key before signed last and that covers the
announcement; `alive`, nothing new. A key that was followed is destroyed, and no key signs sizes of another's epoch:
whoever steals the key in force can sign nothing of earlier epochs.

Standard library and pure modules only: these lines are also part of the stand-alone verifier.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mcp_guard.audit.chain_check import Broken
from mcp_guard.model.note import Checkpoint, Note, NoteError, VerifierKey, Verify, open_note, parse_note, to_bytes

_FROM_BEFORE = "a given key is none since the oldest record that is here: verify together with the archive"

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


@dataclass(frozen=True, slots=True)
class Standing:
    """The keys as they stood at some place of a log: the epoch in force, and the key that was announced, with the
    number of the record that did."""

    epoch: Epoch | None = None
    following: tuple[int, VerifierKey] | None = None

    def after(self, records: Iterable[tuple[int, bytes]]) -> "Standing":
        """As they stood behind further records, which were verified before."""
        epoch, following = self.epoch, self.following
        for n, state in states("key", records):
            if state.get("what") == "first":
                epoch = Epoch(VerifierKey.parse(str(state.get("vkey"))))
            elif state.get("what") == "next":
                following = n, VerifierKey.parse(str(state.get("vkey")))
            elif state.get("what") == "changed" and following:
                epoch, following = Epoch(following[1], _last(state).size), None
        return Standing(epoch, following)

    def as_state(self) -> dict[str, object]:
        """The epoch in force, in the words of records."""
        return {} if self.epoch is None else {"vkey": str(self.epoch.key), "after": self.epoch.after}

    @classmethod
    def parse(cls, state: Mapping[str, object]) -> "Standing":
        """Raises `NoteError`."""
        vkey, after = state.get("vkey"), state.get("after")
        return cls(None if vkey is None else Epoch(VerifierKey.parse(str(vkey)), after if type(after) is int else 0))


NO_KEYS = Standing()


def read_epochs(
    records: Iterable[tuple[int, bytes]], origin: str, root: Root, verify: Verify, before: Standing = NO_KEYS
) -> list[Epoch] | Broken:
    """The epochs of a log by its `key` records, each hand-over checked; or the first record that is wrong.

    `before` is how the keys stood before these records, where earlier ones are not here.
    """
    epochs: list[Epoch] = [before.epoch] if before.epoch else []
    following: tuple[int, VerifierKey] | None = None
    for n, state in states("key", records):
        try:
            what = state.get("what")
            if what == "first" and not epochs:
                epochs.append(Epoch(VerifierKey.parse(str(state.get("vkey"))), since=n))
            elif what == "next" and epochs:
                following = n, VerifierKey.parse(str(state.get("vkey")))
            elif what == "changed" and epochs and following:
                size = _last_size(n, state, following, origin)
                _check_last(state, epochs[-1].key, root, verify)
                epochs[-1] = replace(epochs[-1], until=size)
                epochs.append(Epoch(following[1], size, since=n))
                following = None
            elif what != "alive" or not epochs or state.get("key") != epochs[-1].key.key_id.hex():
                raise NoteError("it is not what follows from the records before")
        except NoteError as error:
            return Broken(n, f"it speaks of the log's keys, and is wrong: {error}")
    return epochs


def trusted_epochs(
    epochs: Sequence[Epoch], keys: Sequence[VerifierKey], *, complete: bool, pruned: bool = False
) -> list[Epoch] | Broken:
    """The epochs that the given keys speak for: their own and all that follow by hand-over; or a record against them.

    Every given key must be one the log names. With `complete` they are all that the log was signed with when they were
    listed, the first first; it may end before the last of them, or have changed keys since. Without any epoch on record
    one key speaks for every size. Of a `pruned` log the first epochs are not here: what a key of their time signed
    cannot be followed to those that are.
    """
    named = [epoch.key for epoch in epochs]
    if not epochs:
        return Broken(0, "no record names the keys of the log") if len(keys) > 1 else [Epoch(key) for key in keys]
    if complete:
        keys = keys[keys.index(named[0]) :] if pruned and named[0] in keys else keys
        wrong = next((epoch for epoch, key in zip(epochs, keys, strict=False) if epoch.key != key), None)
        if wrong is not None:
            return Broken(wrong.since, "it names a key that this log was never signed with")
    elif pruned and any(key not in named for key in keys):
        return Broken(epochs[0].since, _FROM_BEFORE)
    elif any(key not in named for key in keys):
        return Broken(epochs[0].since, "it names the log's first key, and a given key is neither that nor a later one")
    return list(epochs[min(named.index(key) for key in keys if key in named) :])


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


def _last_size(n: int, state: dict[str, object], following: tuple[int, VerifierKey], origin: str) -> int:
    """The last size of the key before, said by record `n`. Raises `NoteError`."""
    announced, key = following
    if state.get("key") != key.key_id.hex():
        raise NoteError("it changes to a key that was not announced")
    checkpoint = _last(state)
    if checkpoint.origin != origin or not announced < checkpoint.size <= n:
        raise NoteError("its checkpoint does not cover the announcement")
    return checkpoint.size


def _check_last(state: dict[str, object], key: VerifierKey, root: Root, verify: Verify) -> None:
    """Raises `NoteError` unless the key before signed what the log was."""
    checkpoint = _last(state)
    open_note(_last_note(state), (key,), verify)
    if checkpoint.root != root(checkpoint.size):
        raise NoteError(f"the log does not contain what the key before signed last, at size {checkpoint.size}")


def _last(state: dict[str, object]) -> Checkpoint:
    return Checkpoint.parse(_last_note(state).text)


def _last_note(state: dict[str, object]) -> Note:
    return parse_note(to_bytes(str(state.get("checkpoint"))))
