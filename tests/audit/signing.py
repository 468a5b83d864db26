"""Keys, checkpoints and cosignatures, made as the programs that hold them would."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.merkle import root_of
from mcp_guard.model.note import COSIGNATURE, ED25519, Checkpoint, Note, Signature, VerifierKey, cosigned


@dataclass(frozen=True)
class Signer:
    """A private key under a name; from a seed, so that every run is the same."""

    name: str
    seed: int
    kind: int = ED25519

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(bytes([self.seed] * 32))

    @property
    def key(self) -> VerifierKey:
        return VerifierKey(self.name, self._private.public_key().public_bytes_raw(), self.kind)

    def sign(self, note: Note, time: int = 0) -> Note:
        if self.kind == COSIGNATURE:
            value = time.to_bytes(8, "big") + self._private.sign(cosigned(note.text, time))
        else:
            value = self._private.sign(note.text.encode())
        return note.signed(Signature(self.name, self.key.key_id, value))


def checkpoint(log: Sequence[bytes], origin: str, signer: Signer, size: int | None = None) -> Note:
    """A signed checkpoint of the first `size` lines."""
    size = len(log) if size is None else size
    root = root_of([bytes.fromhex(leaf_hash(line)) for line in log[:size]])
    return signer.sign(Note(Checkpoint(origin, size, root).format(), ()))
