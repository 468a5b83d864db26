"""Keys, checkpoints and cosignatures, made as the programs that hold them would."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mcp_guard.audit.proof_file import ProofFile, Proven
from mcp_guard.audit.submission import Submission
from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.merkle import Subtree, consistency_proof, inclusion_proof, root_of
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


def submission(log: Sequence[bytes], signed: Note, old: int) -> Submission:
    """What the log sends a witness that is known to have signed it at size `old`."""
    size = Checkpoint.parse(signed.text).size
    return Submission(old, tuple(consistency_proof(old, size, _subtrees(log))), signed.format())


def proven(log: Sequence[bytes], n: int, signed: Note) -> ProofFile:
    """That record `n` stands in the log of a checkpoint."""
    size = Checkpoint.parse(signed.text).size
    return ProofFile((Proven(n, log[n], tuple(inclusion_proof(n, size, _subtrees(log)))),), signed.format())


def _subtrees(log: Sequence[bytes]) -> Subtree:
    leaves = [bytes.fromhex(leaf_hash(line)) for line in log]
    return lambda level, index: root_of(leaves[index << level : (index + 1) << level])
