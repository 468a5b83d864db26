"""Signed notes and checkpoints: what is accepted, and what a forger tries."""

from base64 import b64encode

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.model.note import (
    COSIGNATURE,
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Checkpoint,
    Note,
    NoteError,
    Signature,
    VerifierKey,
    cosigned,
    open_note,
    parse_note,
)

ROOT = bytes(range(32))
TEXT = Checkpoint("desk/00", 7, ROOT).format()


class Key:
    """A signer over a fixed seed."""

    def __init__(self, name: str, seed: int, kind: int = 1) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = VerifierKey(name, self._private.public_key().public_bytes_raw(), kind)

    def sign(self, text: str) -> Signature:
        return Signature(self.public.name, self.public.key_id, self._private.sign(text.encode()))

    def cosign(self, text: str, time: int) -> Signature:
        value = time.to_bytes(8, "big") + self._private.sign(cosigned(text, time))
        return Signature(self.public.name, self.public.key_id, value)


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


LOG = Key("desk/00", 1)
WITNESS = Key("witness.example/w1", 2, COSIGNATURE)
SIGNED = Note(TEXT, (LOG.sign(TEXT),))


@pytest.mark.holds("audit:signed-note")
def test_a_checkpoint_with_a_cosignature_comes_back_as_it_was() -> None:
    note = SIGNED.signed(WITNESS.cosign(TEXT, 1_700_000_000))
    read = parse_note(note.format())
    assert read == note
    opened = dict(open_note(read, [LOG.public, WITNESS.public], verify))
    assert opened[WITNESS.public].time == 1_700_000_000
    assert Checkpoint.parse(read.text) == Checkpoint("desk/00", 7, ROOT)


@pytest.mark.holds("audit:signed-note")
def test_a_key_reads_as_it_is_written() -> None:
    for key in (LOG.public, WITNESS.public):
        assert VerifierKey.parse(str(key)) == key


@pytest.mark.holds("audit:signed-note")
@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "desk/00",
        str(LOG.public)[:-1],
        str(LOG.public).replace("desk", "task"),
        str(LOG.public).replace("desk/00+", "desk 00+"),
        "desk/00+00000000+",
        "+" + str(LOG.public),
        "desk/00+0fad3ee4+" + b64encode(b"\x02" + bytes(32)).decode(),
        "desk/00+0fad3ee4+" + b64encode(b"\x01" + bytes(31)).decode(),
        str(LOG.public) + "\n",
    ],
)
def test_what_is_no_key_is_refused(vkey: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey.parse(vkey)


@pytest.mark.holds("audit:signed-note")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        TEXT.encode(),
        TEXT.encode() + b"\n",
        TEXT.encode() + b"\n\n",
        SIGNED.format()[:-1],
        SIGNED.format() + b"\n",
        SIGNED.format().replace(b"\n", b"\r\n"),
        SIGNED.format().replace(b"\xe2\x80\x94", b"-"),
        SIGNED.format().replace(b"desk", b"de\xffsk"),
        SIGNED.format().replace(b"desk", b"de\0sk"),
        SIGNED.format() + b"trailing\n",
        SIGNED.format() + "— desk/00 AAAA\n".encode(),
        SIGNED.format() + "— desk/00 AAAAAAB=\n".encode(),
        SIGNED.format() + "— a b AAAAAAA=\n".encode(),
        SIGNED.format() + "— a\u2003b AAAAAAA=\n".encode(),
        TEXT.encode() + b"\n" + "— a AAAAAAA=\n".encode() * (MAX_SIGNATURES + 1),
        b"x" * MAX_NOTE_BYTES + SIGNED.format(),
    ],
)
def test_what_is_no_note_is_refused(data: bytes) -> None:
    with pytest.raises(NoteError):
        parse_note(data)


@pytest.mark.holds("audit:signed-note")
@pytest.mark.parametrize(
    ("note", "why"),
    [
        (Note(TEXT, (Key("desk/00", 3).sign(TEXT),)), "same name, other key"),
        (Note(TEXT, (Key("other/00", 1).sign(TEXT),)), "same key, other name"),
        (Note(TEXT.replace("7", "8"), SIGNED.signatures), "other size"),
        (Note(TEXT + "extension\n", SIGNED.signatures), "an extension line nobody signed"),
        (Note(TEXT, (Signature("desk/00", LOG.public.key_id, bytes(64)),)), "no signature"),
        (Note(TEXT, (Signature("desk/00", LOG.public.key_id, bytes(10)),)), "a short one"),
        (Note(TEXT, (Signature("desk/00", LOG.public.key_id, bytes(64)), *SIGNED.signatures)), "a wrong one first"),
        (Note(TEXT, ()), "none"),
    ],
)
def test_forgeries_do_not_open(note: Note, why: str) -> None:
    with pytest.raises(NoteError):
        open_note(note, [LOG.public], verify)


@pytest.mark.holds("audit:signed-note")
def test_signatures_of_strangers_are_ignored() -> None:
    note = SIGNED.signed(Key("stranger", 9).sign("something else"), Key("desk/00", 3).sign("else"))
    assert [key for key, _ in open_note(note, [LOG.public], verify)] == [LOG.public]


@pytest.mark.holds("audit:signed-note")
def test_a_cosignature_counts_only_for_its_time_and_text() -> None:
    made = WITNESS.cosign(TEXT, 1_700_000_000)
    later = Signature(made.name, made.key_id, (1_700_000_001).to_bytes(8, "big") + made.value[8:])
    beyond = WITNESS.cosign(TEXT, 1 << 63)
    for signature in (later, beyond, LOG.sign(TEXT), Signature(made.name, made.key_id, made.value[8:])):
        note = Note(TEXT, (Signature(made.name, made.key_id, signature.value),))
        with pytest.raises(NoteError):
            open_note(note, [WITNESS.public], verify)


@pytest.mark.holds("audit:signed-note")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "desk/00\n7\n",
        TEXT[:-1],
        "\n" + TEXT,
        TEXT + "\n",
        TEXT.replace("7", "07"),
        TEXT.replace("7", "-7"),
        TEXT.replace("7", "+7"),
        TEXT.replace("7", "٧"),
        TEXT.replace("7", str(1 << 63)),
        TEXT.replace("7", "9" * 5000),
        TEXT.replace("AAEC", "AAE"),
        f"desk/00\n7\n{b64encode(bytes(31)).decode()}\n",
        f"desk/00\n7\n{b64encode(bytes(33)).decode()}\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


@pytest.mark.holds("audit:signed-note")
def test_extension_lines_are_kept_and_cannot_smuggle_lines() -> None:
    checkpoint = Checkpoint("desk/00", 0, ROOT, ("one", "two"))
    assert Checkpoint.parse(checkpoint.format()) == checkpoint
    for origin, extensions in (("desk/00\n8", ()), ("", ()), ("desk/00", ("",)), ("desk/00", ("a\n\nb",))):
        with pytest.raises(NoteError):
            Checkpoint(origin, 0, ROOT, extensions)


@pytest.mark.holds("audit:signed-note")
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 400))
def test_whatever_arrives_is_read_or_refused_and_never_changed(junk: bytes, start: int, end: int) -> None:
    data = SIGNED.format()[:start] + junk + SIGNED.format()[end:]
    try:
        note = parse_note(data)
    except NoteError:
        return
    assert note.format() == data
