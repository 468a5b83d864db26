"""A proof in one file: records, their places in a log, and the checkpoint of that log (c2sp.org/tlog-proof).

The proof as published is about one leaf, the newest of the records. Its `extra` line holds what is needed to see that:
the line itself and, for the other records of a call, their lines with their own paths to the same checkpoint.

Standard library and pure modules only: these lines can be part of a stand-alone verifier.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.merkle import HASH_BYTES, verify_inclusion
from mcp_guard.model.note import (
    ED25519,
    Checkpoint,
    NoteError,
    VerifierKey,
    Verify,
    decode_base64,
    open_note,
    parse_note,
)
from mcp_guard.model.tlog_proof import MAX_HASHES, TlogProof


@dataclass(frozen=True, slots=True)
class Proven:
    """A record, its number, and the path from its leaf to the root of the checkpoint."""

    n: int
    line: bytes
    path: tuple[bytes, ...]

    @property
    def leaf(self) -> bytes:
        return bytes.fromhex(leaf_hash(self.line))

    def says_its_number(self) -> bool:
        try:
            record = json.loads(self.line)
        except (ValueError, RecursionError):
            return False
        return isinstance(record, dict) and record.get("_n") == self.n

    def holds(self, checkpoint: Checkpoint) -> bool:
        """Whether the record stands in the log of this checkpoint. Who signed that is another question."""
        return verify_inclusion(self.leaf, self.n, checkpoint.size, self.path, checkpoint.root)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a proof proved: these lines stand in the log of that origin, which `keys` signed when it had `size`."""

    origin: str
    size: int
    keys: tuple[VerifierKey, ...]
    lines: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ProofFile:
    """`records` are newest first, at least one; `checkpoint` is a signed note."""

    records: tuple[Proven, ...]
    checkpoint: bytes

    def format(self) -> bytes:
        newest, *others = self.records
        extra = {"line": newest.line.decode(), "others": [_as_dict(record) for record in others]}
        encoded = json.dumps(extra, ensure_ascii=False, separators=(",", ":")).encode()
        return TlogProof(newest.n, newest.path, self.checkpoint, encoded).format()

    def without_lines(self) -> bytes:
        """The bare proof of the newest record, for somebody who knows its leaf."""
        newest = self.records[0]
        return TlogProof(newest.n, newest.path, self.checkpoint).format()

    @classmethod
    def parse(cls, data: bytes) -> "ProofFile":
        """Read a proof without believing it. Raises `NoteError`."""
        proof = TlogProof.parse(data)
        try:
            extra = json.loads(proof.extra or b"{}")
            newest = Proven(proof.index, extra["line"].encode(), proof.hashes)
            others = tuple(map(_from_dict, extra["others"]))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise NoteError("the proof does not carry the records it is about") from None
        return cls((newest, *others), proof.checkpoint)

    def check(self, keys: Sequence[VerifierKey], verify: Verify) -> Checked:
        """Believe the proof, if one of `keys` is the log's own and signed its checkpoint. Raises `NoteError`."""
        head, signers = _opened(self.checkpoint, keys, verify)
        for record in self.records:
            if not record.holds(head):
                raise NoteError(f"record {record.n} does not stand in the log of this checkpoint")
            if not record.says_its_number():
                raise NoteError(f"what stands at {record.n} is not a record of that number")
        return Checked(head.origin, head.size, signers, tuple(record.line for record in reversed(self.records)))


def check_leaf(data: bytes, leaf: bytes, keys: Sequence[VerifierKey], verify: Verify) -> Checked:
    """Believe a proof about the record with this leaf, as a receipt names it; lines in it are left alone.

    Raises `NoteError`.
    """
    proof = TlogProof.parse(data)
    head, signers = _opened(proof.checkpoint, keys, verify)
    if not proof.proves(leaf, head):
        raise NoteError(f"the leaf is not that of record {proof.index} in the log of this checkpoint")
    return Checked(head.origin, head.size, signers, ())


def _opened(note: bytes, keys: Sequence[VerifierKey], verify: Verify) -> tuple[Checkpoint, tuple[VerifierKey, ...]]:
    """A checkpoint that one of the keys signed as the log's own. Raises `NoteError`."""
    parsed = parse_note(note)
    signers = tuple(key for key, _ in open_note(parsed, keys, verify))
    head = Checkpoint.parse(parsed.text)
    if not any(key.kind == ED25519 and key.name == head.origin for key in signers):
        raise NoteError("the checkpoint is not signed by a given key of its log")
    return head, signers


def _as_dict(record: Proven) -> dict[str, object]:
    return {"index": record.n, "line": record.line.decode(), "path": [b64encode(each).decode() for each in record.path]}


def _from_dict(value: dict[str, object]) -> Proven:
    n, line, path = value["index"], value["line"], value["path"]
    if type(n) is not int or not isinstance(line, str) or not isinstance(path, list):
        raise TypeError
    return Proven(n, line.encode(), tuple(_hashes(path)))


def _hashes(path: Iterable[str]) -> Iterable[bytes]:
    found = [decode_base64(each) for each in path]
    if len(found) > MAX_HASHES or any(len(each) != HASH_BYTES for each in found):
        raise NoteError("a path has at most 63 hashes of 32 bytes")
    return found
