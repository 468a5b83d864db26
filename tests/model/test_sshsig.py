"""Signatures of SSH keys: what OpenSSH writes and reads, and every way in which one is none."""

import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.kit.curves import CURVES
from mcp_guard.model import ed25519, p256
from mcp_guard.model.signed_decision import NAMESPACE
from mcp_guard.model.sshsig import (
    ECDSA_KEY,
    ED25519_KEY,
    SK_ED25519_KEY,
    CurveChecks,
    SshKey,
    SshsigError,
    SshSignature,
    armored,
)
from tests.simulators.ssh_key import KINDS, SshKeyPair, mpint, text

PLAIN = CurveChecks(ed25519.verify, p256.verify_p256)
MESSAGE = b"mcp-guard approval v1\nlog: a/b\n"


def _always(body: bytes) -> Callable[[bytes], bytes]:
    return lambda _: body


PAIRS = {kind: SshKeyPair(kind) for kind in KINDS}
KEYGEN = shutil.which("ssh-keygen")
openssh = pytest.mark.skipif(KEYGEN is None, reason="ssh-keygen is missing: install the OpenSSH client")


def _check(blob: bytes, message: bytes = MESSAGE) -> SshSignature:
    """The verdict of both ways to check a curve, which have to agree."""
    signature = SshSignature.parse(blob)
    verdicts = []
    for curves in (CURVES, PLAIN):
        try:
            signature.check(message, NAMESPACE, curves)
            verdicts.append("")
        except SshsigError as error:
            verdicts.append(str(error))
    assert verdicts[0] == verdicts[1]
    if verdicts[0]:
        raise SshsigError(verdicts[0])
    return signature


@pytest.mark.holds("signed:sshsig")
@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_of_every_kind_of_key(kind: str) -> None:
    pair = PAIRS[kind]
    signature = _check(pair.signature(MESSAGE))
    assert signature.key == SshKey.of_line(pair.line)
    assert signature.key.line == pair.line.removesuffix(" somebody@somewhere")
    again, blob = SshSignature.parse_armored(armored(pair.signature(MESSAGE)))
    assert again.key == signature.key
    _check(blob)


SPOILED: dict[str, tuple[dict[str, object], str]] = {
    "another purpose": ({"namespace": b"file"}, "for another purpose"),
    "no purpose": ({"namespace": b""}, "for another purpose"),
    "a purpose in other letters": ({"namespace": NAMESPACE.upper().encode()}, "for another purpose"),
    "a purpose that is no text": ({"namespace": b"\xff"}, "for another purpose"),
    "a weaker hash": ({"hashed": b"sha256"}, "not over a sha512"),
    "a hash that is none": ({"hashed": b"none"}, "not over a sha512"),
    "something reserved": ({"reserved": b"x"}, "says something"),
    "another version": ({"version": 2}, "of a version"),
    "somebody else's key": ({"key": SshKeyPair()}, "did not sign"),
    "another kind inside": ({"body": lambda body: text(b"ssh-rsa") + body[15:]}, "of another kind"),
    "something behind inside": ({"body": lambda body: body + b"\0"}, "something trails"),
    "half of it": ({"body": lambda body: body[:30]}, "cut off"),
    "no signature inside": ({"body": lambda _: text(b"ssh-ed25519") + text(b"")}, "has not 64 bytes"),
}


@pytest.mark.holds("signed:sshsig")
@pytest.mark.parametrize("case", SPOILED)
def test_a_signature_that_is_none(case: str) -> None:
    spoiled, why = SPOILED[case]
    with pytest.raises(SshsigError, match=why):
        _check(PAIRS[ED25519_KEY].signature(MESSAGE, **spoiled))  # type: ignore[arg-type]


@pytest.mark.holds("signed:sshsig")
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_over_one_message_only(kind: str) -> None:
    with pytest.raises(SshsigError, match="did not sign"):
        _check(PAIRS[kind].signature(MESSAGE), MESSAGE + b"\n")


@pytest.mark.holds("signed:touch")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("sk-")])
def test_a_security_key_has_to_be_touched_and_its_application_counts(kind: str) -> None:
    pair = PAIRS[kind]
    for flags in (0, 4, 0xFE):
        with pytest.raises(SshsigError, match="was not touched"):
            _check(pair.signature(MESSAGE, flags=flags))
    assert _check(pair.signature(MESSAGE, flags=5)).flags == 5, "with a PIN too"
    lied = pair.signature(MESSAGE, flags=0, body=lambda body: body[:-5] + b"\1" + body[-4:])
    with pytest.raises(SshsigError, match="did not sign"):
        _check(lied)
    counted = pair.signature(MESSAGE, body=lambda body: body[:-1] + b"\xff")
    with pytest.raises(SshsigError, match="did not sign"):
        _check(counted)
    elsewhere = replace(pair, application=b"ssh:other")
    with pytest.raises(SshsigError, match="did not sign"):
        _check(elsewhere.signature(MESSAGE, key=pair))
    with pytest.raises(SshsigError, match="begin with ssh:"):
        _check(replace(pair, application=b"https://login.example").signature(MESSAGE))
    assert SshKey.parse(elsewhere.wire) != SshKey.parse(pair.wire)


@pytest.mark.holds("signed:touch")
def test_a_plain_key_does_not_pass_for_a_security_key() -> None:
    plain = PAIRS[ED25519_KEY]
    security = SshKeyPair(SK_ED25519_KEY, ed25519=plain.ed25519)
    for made, said in ((plain, security), (security, plain)):
        with pytest.raises(SshsigError, match="of another kind"):
            _check(made.signature(MESSAGE, key=said))


@pytest.mark.holds("signed:sshsig")
def test_keys_that_are_none() -> None:
    good = PAIRS[ED25519_KEY]
    point = good.ed25519.public_key().public_bytes_raw()
    ecdsa = PAIRS[ECDSA_KEY].wire
    wires = {
        "nothing": b"",
        "rsa": text(b"ssh-rsa") + text(b"\3") + text(b"\1"),
        "a certificate": text(b"ssh-ed25519-cert-v01@openssh.com"),
        "no point": text(b"ssh-ed25519") + text(bytes(31)),
        "a point anybody signs for": text(b"ssh-ed25519") + text(b"\1" + bytes(31)),
        "something behind": good.wire + b"\0",
        "cut off": good.wire[:-1],
        "another curve": ecdsa.replace(b"nistp256", b"nistp384"),
        "off the curve": ecdsa[:-1] + bytes([ecdsa[-1] ^ 1]),
        "no application": text(SK_ED25519_KEY.encode()) + text(point),
    }
    for wire in wires.values():
        with pytest.raises(SshsigError):
            SshKey.parse(wire)
    encoded = b64encode(good.wire).decode()
    lines = [
        "",
        "ssh-ed25519",
        encoded,
        f"ssh-ed25519 {encoded[:-4]}",
        f"ssh-ed25519 {encoded}=",
        f"ssh-ed25519 {encoded[:20]} {encoded[20:]}",
        f"no-touch-required ssh-ed25519 {encoded}",
        f"{ECDSA_KEY} {encoded}",
    ]
    for line in lines:
        with pytest.raises(SshsigError):
            SshKey.of_line(line)


@pytest.mark.holds("signed:sshsig")
def test_numbers_of_an_ecdsa_signature_have_one_form() -> None:
    pair = PAIRS[ECDSA_KEY]
    head = text(ECDSA_KEY.encode())
    forms = {
        "zeros in front": text(text(b"\0" * 9 + b"\1")),
        "nothing": text(text(b"") + mpint(1)),
        "negative": text(text(b"\x80") + mpint(1)),
        "too large": text(mpint(2**256) + mpint(1)),
        "one only": text(mpint(1)),
        "three": text(mpint(1) + mpint(1) + mpint(1)),
    }
    for form in forms.values():
        with pytest.raises(SshsigError):
            _check(pair.signature(MESSAGE, body=_always(head + form)))


@pytest.mark.holds("signed:sshsig")
@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KINDS), st.data())
def test_no_part_of_a_signature_can_be_cut_or_changed(kind: str, data: st.DataObject) -> None:
    good = SIGNATURES[kind]
    at = data.draw(st.integers(0, len(good) - 1))
    changed = data.draw(
        st.sampled_from([good[:at], good[:at] + b"\0" + good[at:], good + good[:at]])
        | st.integers(1, 255).map(lambda flip: good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :])
    )
    if changed == good:
        return
    with pytest.raises(SshsigError):
        _check(changed)


SIGNATURES = {kind: pair.signature(MESSAGE) for kind, pair in PAIRS.items()}


@pytest.mark.holds("signed:sshsig")
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda tail: b"SSHSIG\0\0\0\1" + tail), st.text())
def test_anything_at_all_is_refused_and_nothing_else_happens(blob: bytes, line: str) -> None:
    for refused in (
        lambda: SshSignature.parse(blob),
        lambda: SshKey.parse(blob),
        lambda: SshKey.of_line(line),
        lambda: SshSignature.parse_armored(line),
        lambda: SshSignature.parse_armored(f"-----BEGIN SSH SIGNATURE-----\n{line}\n-----END SSH SIGNATURE-----"),
    ):
        with pytest.raises(SshsigError):
            refused()


@openssh
@pytest.mark.holds("signed:openssh")
@pytest.mark.parametrize("kind", KINDS)
def test_openssh_finds_the_same(kind: str, tmp_path: Path) -> None:
    pair = PAIRS[kind]
    (tmp_path / "allowed_signers").write_text(f"user:bob {pair.line}\n")
    (tmp_path / "it.sig").write_text(pair.armored(MESSAGE))
    command = [KEYGEN or "", "-Y", "verify", "-f", str(tmp_path / "allowed_signers"), "-I", "user:bob"]
    command += ["-n", NAMESPACE, "-s", str(tmp_path / "it.sig")]
    for message, status in ((MESSAGE, 0), (MESSAGE + b"!", 255)):
        done = subprocess.run(command, input=message, capture_output=True, check=False)
        assert done.returncode == status, done.stderr
    listed = [KEYGEN or "", "-l", "-f", str(tmp_path / "key.pub")]
    (tmp_path / "key.pub").write_text(pair.line)
    said = subprocess.run(listed, capture_output=True, check=True).stdout.decode()
    assert SshKey.of_line(pair.line).fingerprint in said.split()


@openssh
@pytest.mark.holds("signed:openssh")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("sk-")])
def test_what_openssh_signs_is_taken(kind: str, tmp_path: Path) -> None:
    pair, key = PAIRS[kind], tmp_path / "key"
    key.write_bytes(pair.private_file())
    key.chmod(0o600)
    command = [KEYGEN or "", "-Y", "sign", "-f", str(key), "-n", NAMESPACE]
    done = subprocess.run(command, input=MESSAGE, capture_output=True, check=True)
    signature, blob = SshSignature.parse_armored(done.stdout.decode())
    assert signature.key == SshKey.of_line(pair.line)
    assert armored(blob) == done.stdout.decode()
    _check(blob)
