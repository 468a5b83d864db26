"""What a log sends a witness: a checkpoint, and the proof that it is the one before, grown (c2sp.org/tlog-witness)."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from mcp_guard.model.merkle import HASH_BYTES
from mcp_guard.model.note import NoteError, decimal, decode_base64

ADD_CHECKPOINT: Final = "/add-checkpoint"
ADD_KEY: Final = "/add-key"
"""Not part of tlog-witness: a tlog-proof of the record that announces the log's next key, under the last checkpoint of
the key before."""
SIZE_KIND: Final = "text/x.tlog.size"
MAX_HASHES: Final = 63
MAX_BYTES: Final = 64 * 1024
"""Of a submission; a checkpoint has a few hundred."""


@dataclass(frozen=True, slots=True)
class Submission:
    """`proof` shows that the log of size `old` is the beginning of the one in `checkpoint`, a signed note."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def format(self) -> bytes:
        lines = (f"old {self.old}", *(b64encode(each).decode() for each in self.proof), "")
        return "".join(f"{line}\n" for line in lines).encode() + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> "Submission":
        """Read a submission without believing it. Raises `NoteError`."""
        head, blank, checkpoint = data.partition(b"\n\n")
        try:
            first, *hashes = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise NoteError("a submission begins with ASCII lines") from None
        if not blank or not first.startswith("old ") or len(hashes) > MAX_HASHES:
            raise NoteError("a submission is `old N`, at most 63 hashes, an empty line and a checkpoint")
        proof = tuple(map(decode_base64, hashes))
        if any(len(each) != HASH_BYTES for each in proof):
            raise NoteError("a hash has 32 bytes")
        return cls(decimal(first.removeprefix("old ")), proof, checkpoint)
