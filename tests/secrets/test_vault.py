"""What waits is readable with the key, in its own row, and nowhere else."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.secrets.vault import FILE, SealBroken, Vault, load_or_make

VAULT = Vault(b"k" * 32)


@pytest.mark.holds("vault:sealed")
@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_was_sealed_opens_again_and_looks_different_each_time(data: bytes, row: str) -> None:
    sealed = VAULT.seal(data, row)
    assert VAULT.open(sealed, row) == data
    assert VAULT.seal(data, row) != sealed


@pytest.mark.holds("vault:sealed")
@given(st.binary(min_size=1, max_size=60), st.integers(0, 2**16))
def test_changed_moved_or_under_another_key_it_does_not_open(data: bytes, seed: int) -> None:
    sealed = bytearray(VAULT.seal(data, "row"))
    with pytest.raises(SealBroken):
        VAULT.open(bytes(sealed), "another row")
    with pytest.raises(SealBroken):
        Vault(b"j" * 32).open(bytes(sealed), "row")
    sealed[seed % len(sealed)] ^= 1
    for changed in (bytes(sealed), bytes(sealed[:-1]), b""):
        with pytest.raises(SealBroken):
            VAULT.open(changed, "row")


@pytest.mark.holds("vault:key")
def test_the_key_is_made_once_private_and_refused_when_it_is_not(tmp_path: Path) -> None:
    made = load_or_make(tmp_path / "keys")
    assert load_or_make(tmp_path / "keys") == made
    path = tmp_path / "keys" / FILE
    assert len(path.read_bytes()) == 32
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)
        with pytest.raises(StoreUnavailable):
            load_or_make(tmp_path / "keys")
        path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(StoreUnavailable):
        load_or_make(tmp_path / "keys")


@pytest.mark.holds("vault:sealed")
def test_a_digest_tells_equal_texts_and_nothing_without_the_key() -> None:
    assert VAULT.digest(b"a") == VAULT.digest(b"a")
    assert VAULT.digest(b"a") != VAULT.digest(b"b")
    assert VAULT.digest(b"a") != Vault(b"j" * 32).digest(b"a")
