"""Signed notes and the checkpoints in them: parsing, formatting, checking (c2sp.org/signed-note, tlog-checkpoint,
tlog-cosignature).

What Go's `sumdb/note.Open` and `tlog.ParseTree` refuse is refused here, and base64 that is not canonical besides. The
signature algorithm is handed in, so that nothing here needs a library: these lines are also part of the stand-alone
verifier. Standard library only, and nothing of ours.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

ED25519 = 0x01
"""Signature type of a log's own key: Ed25519 over the text of the note."""
COSIGNATURE = 0x04
"""Signature type of a witness: a time, and Ed25519 over it and the text (`cosignature/v1`)."""
MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
MAX_TREE_SIZE = (1 << 63) - 1
_MAX_TIME = (1 << 63) - 1
_KEY_ID_BYTES = 4
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_TIME_BYTES = 8
_DASH = "\N{EM DASH} "

Verify = Callable[[bytes, bytes, bytes], bool]
"""`(public_key, signature, message)` -> whether the 64 byte Ed25519 signature is right. Never raises."""


class NoteError(ValueError):
    """A note, checkpoint or key is not well formed, or not signed as it must be. The message says what is wrong."""


def decode_base64(text: str) -> bytes:
    """Standard base64 with its padding, in the one canonical form. Raises `NoteError`."""
    try:
        data = b64decode(text.encode("ascii"), validate=True)
    except (Base64Error, UnicodeEncodeError):
        raise NoteError("not base64") from None
    if b64encode(data).decode() != text:
        raise NoteError("not canonical base64")
    return data


def to_bytes(text: str) -> bytes:
    """UTF-8. Raises `NoteError`: JSON can spell half of a surrogate pair, which no UTF-8 has."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise NoteError("not UTF-8") from None


def decimal(text: str) -> int:
    """An ASCII decimal of at most 2**63 - 1 without leading zeroes. Raises `NoteError`."""
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MAX_TREE_SIZE)):
        raise NoteError("not a decimal number")
    number = int(text)
    if str(number) != text or number > MAX_TREE_SIZE:
        raise NoteError("not a decimal number in its plain form")
    return number


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under. `kind` is `ED25519` or `COSIGNATURE`."""

    name: str
    key: bytes
    kind: int = ED25519

    def __post_init__(self) -> None:
        if not _valid_name(self.name):
            raise NoteError("a key's name is not empty and has neither spaces nor `+`")
        to_bytes(self.name)
        if self.kind not in (ED25519, COSIGNATURE):
            raise NoteError("a key of an unknown type")
        if len(self.key) != _KEY_BYTES:
            raise NoteError("an Ed25519 public key has 32 bytes")

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        return sha256(self.name.encode() + b"\n" + self._typed).digest()[:_KEY_ID_BYTES]

    @property
    def _typed(self) -> bytes:
        return bytes([self.kind]) + self.key

    def __str__(self) -> str:
        """As a *vkey*: `name+id+base64(type || key)`."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(self._typed).decode()}"

    @classmethod
    def parse(cls, vkey: str) -> "VerifierKey":
        """Read a vkey. Raises `NoteError`."""
        name, _, rest = vkey.partition("+")
        key_id, _, typed = rest.partition("+")
        try:
            data = decode_base64(typed)
        except NoteError:
            raise NoteError("not a verifier key: `name+id+base64` is expected") from None
        if not data:
            raise NoteError("not a verifier key: `name+id+base64` is expected")
        key = cls(name, data[1:], data[0])
        if key_id.lower() != key.key_id.hex():
            raise NoteError("a verifier key whose id does not fit its name and key")
        return key

    def signed_by(self, signature: "Signature") -> bool:
        """Whether a signature says it is by this key. Only `open_note` says that it is."""
        return signature.name == self.name and signature.key_id == self.key_id

    def verifies(self, signature: "Signature", text: str, verify: Verify) -> bool:
        """Whether this key made the signature over the text."""
        value = signature.value
        if self.kind == COSIGNATURE:
            if len(value) != _TIME_BYTES + _SIGNATURE_BYTES or signature.time > _MAX_TIME:
                return False
            return verify(self.key, value[_TIME_BYTES:], cosigned(text, signature.time))
        return len(value) == _SIGNATURE_BYTES and verify(self.key, value, text.encode())


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who is said to have signed, and what only the key's algorithm understands."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def time(self) -> int:
        """When a cosignature says it was made (unix seconds)."""
        return int.from_bytes(self.value[:_TIME_BYTES], "big")

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {b64encode(self.key_id + self.value).decode()}"

    @classmethod
    def parse(cls, line: str) -> "Signature":
        """Read one signature line without its line feed. Raises `NoteError`."""
        if not line.startswith(_DASH):
            raise NoteError("a signature line starts with an em dash and a space")
        name, _, encoded = line[len(_DASH) :].partition(" ")
        data = decode_base64(encoded)
        if not _valid_name(name) or len(data) <= _KEY_ID_BYTES:
            raise NoteError("a signature line is `name base64(key id || signature)`")
        return cls(name, data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text, which ends with a line feed, and the signatures below it, none of them checked yet."""

    text: str
    signatures: tuple[Signature, ...]

    def format(self) -> bytes:
        return (self.text + "\n" + "".join(f"{signature}\n" for signature in self.signatures)).encode()

    def signed(self, *signatures: Signature) -> "Note":
        """The same text with these signatures behind the ones it has; one by the same key is replaced."""
        new = {(signature.name, signature.key_id) for signature in signatures}
        kept = tuple(old for old in self.signatures if (old.name, old.key_id) not in new)
        return Note(self.text, kept + signatures)


def parse_note(data: bytes) -> Note:
    """Read a note without believing it. Raises `NoteError`."""
    if len(data) > MAX_NOTE_BYTES:
        raise NoteError("the note is too large")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise NoteError("the note is not UTF-8") from None
    if any(character < " " and character != "\n" for character in whole):
        raise NoteError("the note has control characters")
    head, blank, below = whole.rpartition("\n\n")
    if not blank or not below.endswith("\n"):
        raise NoteError("the note has no signatures below a blank line")
    lines = below[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError("the note has too many signatures")
    return Note(head + "\n", tuple(Signature.parse(line) for line in lines))


def open_note(note: Note, keys: Iterable[VerifierKey], verify: Verify) -> tuple[tuple[VerifierKey, Signature], ...]:
    """The signatures that are by one of the keys, each checked, one for each key.

    Signatures of other keys are ignored, even under a name that is known. Raises `NoteError` where a signature of a
    known key is wrong, or none is by a known key.
    """
    known = {(key.name, key.key_id): key for key in keys}
    found: dict[VerifierKey, Signature] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None or key in found:
            continue
        if not key.verifies(signature, note.text, verify):
            raise NoteError(f"the signature of {key.name}+{key.key_id.hex()} is wrong")
        found[key] = signature
    if not found:
        raise NoteError("the note is not signed by a known key")
    return tuple(found.items())


def cosigned(text: str, time: int) -> bytes:
    """The bytes a witness signs at `time` (unix seconds)."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: its origin, how many leaves it has, their root, and lines that are its own affair."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(line and "\n" not in line for line in (self.origin, *self.extensions)):
            raise NoteError("a line of a checkpoint is empty")
        if not 0 <= self.size <= MAX_TREE_SIZE:
            raise NoteError("the size of a checkpoint is out of range")
        if len(self.root) != _KEY_BYTES:
            raise NoteError("the root of a checkpoint has 32 bytes")

    def format(self) -> str:
        """The text of the note."""
        lines = (self.origin, str(self.size), b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read the text of a note. Raises `NoteError`."""
        lines = text.split("\n")
        if len(text) > MAX_NOTE_BYTES or lines.pop() != "" or len(lines) < 3:
            raise NoteError("a checkpoint has at least three lines")
        origin, size, root, *extensions = lines
        return cls(origin, decimal(size), decode_base64(root), tuple(extensions))


def _valid_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)
