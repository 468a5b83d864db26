"""A proof that stands alone: one leaf's place in a log, and the checkpoint it is proven against (c2sp.org/tlog-proof).

Standard library and `model.merkle`, `model.note` only: these lines are also part of the stand-alone verifier.
"""

from base64 import b64encode
from dataclasses import dataclass

from mcp_guard.model.merkle import HASH_BYTES, verify_inclusion
from mcp_guard.model.note import Checkpoint, NoteError, decimal, decode_base64, parse_note

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_BYTES = 64 * 1024 * 1024
"""Room for the lines of records that travel as extra data, which is base64."""
MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class TlogProof:
    """Place, path and checkpoint. `checkpoint` is a signed note as it was issued; `extra` is vouched for by nobody."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def format(self) -> bytes:
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [b64encode(value).decode() for value in self.hashes]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> "TlogProof":
        """Read a proof without believing it. Raises `NoteError`."""
        if len(data) > MAX_PROOF_BYTES:
            raise NoteError("not a tlog-proof: it is too large")
        head, blank, checkpoint = data.partition(b"\n\n")
        if not blank:
            raise NoteError("not a tlog-proof: a blank line and a checkpoint follow its hashes")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise NoteError("not a tlog-proof: its lines are ASCII") from None
        if lines.pop(0) != HEADER:
            raise NoteError(f"not a tlog-proof: the first line is not {HEADER}")
        extra = decode_base64(lines.pop(0)[6:]) if lines and lines[0].startswith("extra ") else None
        if not lines or not lines[0].startswith("index "):
            raise NoteError("not a tlog-proof: it does not say its index")
        index = decimal(lines.pop(0)[6:])
        hashes = tuple(map(decode_base64, lines))
        if len(hashes) > MAX_HASHES or any(len(value) != HASH_BYTES for value in hashes):
            raise NoteError("not a tlog-proof: a path has at most 63 hashes of 32 bytes")
        parse_note(checkpoint)
        return cls(index, hashes, checkpoint, extra)

    def proves(self, leaf: bytes, checkpoint: Checkpoint) -> bool:
        """Whether the leaf stands at `index` of the tree of this checkpoint. Who signed it is another question."""
        return verify_inclusion(leaf, self.index, checkpoint.size, self.hashes, checkpoint.root)
