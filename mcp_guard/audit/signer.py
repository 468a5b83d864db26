"""Who signs the log: a key under the name of the log's origin."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mcp_guard.model.note import ED25519, Checkpoint, Note, NoteError, Signature, VerifierKey, cosigned, decode_base64

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PRIVATE = "PRIVATE+KEY+"


class Signer(Protocol):
    """A key that can be used and not seen: in a file, or in hardware."""

    @property
    def public(self) -> VerifierKey:
        """The public half and the name it signs under."""
        ...

    def sign(self, text: str) -> Signature:
        """Sign the text of a note. Raises `GuardError` where that cannot be."""
        ...


def checkpoint(signer: Signer, size: int, root: bytes) -> bytes:
    """The log of this signer with that many records and that root, as a signed note (c2sp.org/tlog-checkpoint)."""
    text = Checkpoint(signer.public.name, size, root).format()
    return Note(text, (signer.sign(text),)).format()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key in memory (RFC 8032): a log's own, or with the kind `COSIGNATURE` a witness's."""

    public: VerifierKey
    private: "Ed25519PrivateKey"

    def sign(self, text: str) -> Signature:
        return Signature(self.public.name, self.public.key_id, self.private.sign(text.encode()))

    def cosign(self, text: str, time: int) -> Signature:
        """Say, at `time` (unix seconds), that this is the only such note of its log this key knows of."""
        value = time.to_bytes(8, "big") + self.private.sign(cosigned(text, time))
        return Signature(self.public.name, self.public.key_id, value)

    @classmethod
    def generate(cls, name: str, kind: int = ED25519) -> "SigningKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls._of(name, Ed25519PrivateKey.generate(), kind)

    def to_text(self) -> str:
        """The key as Go's `sumdb/note` writes it: `PRIVATE+KEY+name+id+base64(type || seed)`."""
        from base64 import b64encode

        public = self.public
        typed = b64encode(bytes([public.kind]) + self.private.private_bytes_raw()).decode()
        return f"{_PRIVATE}{public.name}+{public.key_id.hex()}+{typed}"

    @classmethod
    def parse(cls, text: str, kind: int = ED25519) -> "SigningKey":
        """Read such a text, of a key of this kind. Raises `NoteError`, which never quotes it."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        name, _, rest = text.removeprefix(_PRIVATE).partition("+")
        key_id, _, encoded = rest.partition("+")
        typed = decode_base64(encoded)
        if not text.startswith(_PRIVATE) or len(typed) != 33 or typed[0] != kind:
            raise NoteError("not an Ed25519 signing key")
        key = cls._of(name, Ed25519PrivateKey.from_private_bytes(typed[1:]), kind)
        if key.public.key_id.hex() != key_id:
            raise NoteError("a signing key whose id does not fit its name and key")
        return key

    @classmethod
    def _of(cls, name: str, private: "Ed25519PrivateKey", kind: int) -> "SigningKey":
        return cls(VerifierKey(name, private.public_key().public_bytes_raw(), kind), private)
