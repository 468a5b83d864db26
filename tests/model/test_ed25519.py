"""Ed25519 verification in plain Python: the vectors of RFC 8032, and the same verdicts as `cryptography`."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.model import ed25519

# RFC 8032 section 7.1: public key, message, signature.
VECTORS = {
    "TEST 1": (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    "TEST 2": (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "TEST 3": (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    "TEST SHA(abc)": (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
}
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493


def y_of(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


SMALL_ORDER = [
    y_of(1),
    y_of(P - 1),
    y_of(0),
    y_of(0, 1),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
]
"""Every point of order 1, 2, 4 and 8, encoded: for these keys a signature can be made without a secret."""


def theirs(public_key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.holds("audit:ed25519")
@pytest.mark.parametrize("vector", VECTORS)
def test_the_vectors_of_the_rfc_verify(vector: str) -> None:
    key, message, signature = map(bytes.fromhex, VECTORS[vector])
    assert ed25519.verify(key, signature, message)
    assert not ed25519.verify(key, signature, message + b"x")


@pytest.mark.holds("audit:ed25519")
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200), place=st.integers(0, 511))
def test_it_agrees_with_cryptography_on_good_and_damaged_signatures(seed: bytes, message: bytes, place: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    key, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert ed25519.verify(key, signature, message)
    damaged = (int.from_bytes(signature, "little") ^ 1 << place).to_bytes(64, "little")
    assert not ed25519.verify(key, damaged, message)
    assert not theirs(key, damaged, message)


@pytest.mark.holds("audit:ed25519")
@given(key=st.binary(min_size=32, max_size=32), signature=st.binary(min_size=64, max_size=64))
def test_it_accepts_nothing_cryptography_refuses(key: bytes, signature: bytes) -> None:
    assert not ed25519.verify(key, signature, b"") or theirs(key, signature, b"")


@pytest.mark.holds("audit:ed25519")
@pytest.mark.parametrize("key", SMALL_ORDER)
def test_a_key_of_small_order_is_no_key(key: bytes) -> None:
    assert not ed25519.is_key(key)
    # R = the neutral element and S = 0 satisfy the equation for the neutral key, whatever the message.
    assert not ed25519.verify(key, y_of(1) + bytes(32), b"anything")


@pytest.mark.holds("audit:ed25519")
@pytest.mark.parametrize(
    "key", [y_of(P), y_of(P + 1), y_of(P + 3), y_of(1, 1), y_of(P - 1, 1), y_of(2), b"", bytes(33)]
)
def test_a_key_that_is_not_the_encoding_of_a_point_is_no_key(key: bytes) -> None:
    assert not ed25519.is_key(key)


@pytest.mark.holds("audit:ed25519")
def test_the_same_signature_in_another_form_is_refused() -> None:
    key, message, signature = map(bytes.fromhex, VECTORS["TEST 3"])
    s = int.from_bytes(signature[32:], "little")
    assert not ed25519.verify(key, signature[:32] + (s + L).to_bytes(32, "little"), message)
    assert not ed25519.verify(key, signature + b"\0", message)
    assert not ed25519.verify(key, signature[:63], message)
