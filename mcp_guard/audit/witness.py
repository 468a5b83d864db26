"""A witness: of every log it signs one history only (c2sp.org/tlog-witness, c2sp.org/tlog-cosignature).

It remembers the last head it signed, and signs the next one where a proof shows that it is the same log, grown. So what
it signed once cannot be taken back by whoever holds the log and all of its keys.
"""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcp_guard.audit.proof_file import ProofFile
from mcp_guard.audit.signer import SigningKey
from mcp_guard.audit.submission import SIZE_KIND, Submission
from mcp_guard.audit.verify import verify_signature
from mcp_guard.audit.witness_memory import Remembered, WitnessMemory
from mcp_guard.kit.clock import Clock
from mcp_guard.model.merkle import verify_consistency
from mcp_guard.model.note import ED25519, Checkpoint, Note, NoteError, VerifierKey, open_note, parse_note

MAX_SUCCESSORS = 8
"""Keys that may be announced to follow one key: more than one only where a change of keys was cut off."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a submission is answered with over HTTP. `forked` says that a key of the log signed another history."""

    status: int
    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"
    forked: str | None = None


MALFORMED = Answer(400, b"this is not a submission\n")
UNKNOWN_LOG = Answer(404, b"this witness does not know the log\n")
UNKNOWN_KEY = Answer(403, b"no key that this witness knows of the log signed this\n")
NOT_CONSISTENT = b"the proof does not show that this is the log the witness signed before\n"


class Witness:
    """Answers submissions about `logs`, given by the keys they sign with. May be used by several threads.

    Both methods raise `OSError` or `Invalid` where what was signed before cannot be read or the new head not be kept;
    then nothing is signed.
    """

    def __init__(self, memory: WitnessMemory, key: SigningKey, logs: Iterable[VerifierKey], clock: Clock) -> None:
        self._memory = memory
        self._key = key
        self._logs = tuple(logs)
        self._clock = clock
        self._turn = threading.Lock()

    @classmethod
    def open(cls, directory: Path, logs: Iterable[VerifierKey], clock: Clock, name: str | None = None) -> "Witness":
        """The witness of a directory, made at first. Raises `Invalid`, `StoreUnavailable`."""
        memory = WitnessMemory(directory)
        return cls(memory, memory.open(name), logs, clock)

    @property
    def key(self) -> VerifierKey:
        """The key by which this witness is known."""
        return self._key.public

    def close(self) -> None:
        self._memory.close()

    def add_checkpoint(self, data: bytes) -> Answer:
        """Sign a head that continues what was signed before; the checks are those of tlog-witness, in its order."""
        try:
            submission = Submission.parse(data)
            note, head = _read(submission.checkpoint)
        except NoteError:
            return MALFORMED
        with self._turn:
            known = self._memory.read()
            keys = _in_force(self._keys(head.origin), known.followed)
            if not keys:
                return UNKNOWN_LOG
            if not _is_signed(note, keys):
                return UNKNOWN_KEY
            refused = _refusal(submission, head, known.head(head.origin))
            if refused is not None:
                return refused
            # Written even where nothing changed: a head that was not durably kept before must not be signed again.
            self._memory.write(Remembered({**known.heads, head.origin: head}, known.followed))
        return Answer(200, f"{self._key.cosign(note.text, self._clock.now_us() // 1_000_000)}\n".encode())

    def add_key(self, data: bytes) -> Answer:
        """Follow a log to its next key, which it announced in a record under the head that was signed last.

        So whoever has the key in force can name its successor to this witness, as to every reader of the log; nobody
        can have another history signed by that.
        """
        try:
            proof = ProofFile.parse(data)
            _, head = _read(proof.checkpoint)
        except NoteError:
            return MALFORMED
        with self._turn:
            known = self._memory.read()
            keys = _all_followed(self._keys(head.origin), known.followed)
            if not keys:
                return UNKNOWN_LOG
            last = known.head(head.origin)
            if (last.size, last.root) != (head.size, head.root):
                return _conflict(last)
            try:
                checked = proof.check(keys, verify_signature)
                following = _announced(checked.lines[-1], head.origin)
            except NoteError:
                return UNKNOWN_KEY
            followed = dict(known.followed)
            for signer in (str(key) for key in checked.keys if key != following):
                others = followed.get(signer, ())
                if str(following) not in others and len(others) < MAX_SUCCESSORS:
                    followed[signer] = (*others, str(following))
            self._memory.write(Remembered(known.heads, followed))
        return Answer(200)

    def _keys(self, origin: str) -> tuple[VerifierKey, ...]:
        return tuple(key for key in self._logs if key.name == origin)


def _read(data: bytes) -> tuple[Note, Checkpoint]:
    note = parse_note(data)
    return note, Checkpoint.parse(note.text)


def _is_signed(note: Note, keys: Iterable[VerifierKey]) -> bool:
    try:
        return bool(open_note(note, keys, verify_signature))
    except NoteError:
        return False


def _refusal(submission: Submission, head: Checkpoint, last: Checkpoint) -> Answer | None:
    if submission.old > head.size:
        return MALFORMED
    if submission.old != last.size:
        return _conflict(last)
    if head.size == last.size and head.root != last.root:
        return _conflict(last, forked=head.origin)
    if not verify_consistency(last.size, last.root, head.size, head.root, submission.proof):
        return Answer(422, NOT_CONSISTENT, forked=head.origin)
    return None


def _conflict(last: Checkpoint, forked: str | None = None) -> Answer:
    return Answer(409, f"{last.size}\n".encode(), SIZE_KIND, forked)


def _announced(line: bytes, origin: str) -> VerifierKey:
    """The key that a record announces. Raises `NoteError` where it is none, or not one of the log."""
    try:
        record = json.loads(line)
        state = record["state"]
        key = VerifierKey.parse(str(state["vkey"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        raise NoteError("the record announces no key") from None
    if (record["kind"], state["what"], key.name, key.kind) != ("key", "next", origin, ED25519):
        raise NoteError("the record does not announce the next key of the log")
    return key


def _all_followed(keys: Iterable[VerifierKey], followed: Mapping[str, tuple[str, ...]]) -> tuple[VerifierKey, ...]:
    """The keys and all that were announced to follow them."""
    found: dict[str, VerifierKey] = {}
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        if str(key) not in found:
            found[str(key)] = key
            waiting += map(VerifierKey.parse, followed.get(str(key), ()))
    return tuple(found.values())


def _in_force(keys: Iterable[VerifierKey], followed: Mapping[str, tuple[str, ...]]) -> tuple[VerifierKey, ...]:
    """Those of them that no other key has followed yet: a key that was followed signs no larger size."""
    return tuple(key for key in _all_followed(keys, followed) if not followed.get(str(key)))
