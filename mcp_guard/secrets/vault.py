"""What waits in the store and must not be read there: arguments and results of tasks, encrypted under `keys/`.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce in front. The row a text belongs to is authenticated with it,
so that one row's text does not open in another.
"""

import contextlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mcp_guard.kit.platform import is_private, make_private_directory, make_private_file
from mcp_guard.model.errors import StoreUnavailable

FILE: Final = "tasks.key"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class SealBroken(StoreUnavailable):
    """A text of the store does not open: it, its row or the key was changed."""

    default_hint = "restore `keys/` and the store from the same moment"


@dataclass(frozen=True, slots=True)
class Vault:
    """Seals and opens texts under one key."""

    key: bytes

    def seal(self, data: bytes, row: str) -> bytes:
        """`data`, readable only with the key and only as part of `row`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self.key).encrypt(nonce, data, row.encode())

    def open(self, sealed: bytes, row: str) -> bytes:
        """The text again. Raises `SealBroken`."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self.key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], row.encode())
        except (InvalidTag, ValueError):
            raise SealBroken() from None

    def derived(self, purpose: str) -> bytes:
        """32 bytes for one other purpose, the same as long as the key is."""
        return hmac.digest(self.key, b"derived\n" + purpose.encode(), "sha256")

    def digest(self, data: bytes) -> str:
        """A keyed digest (hex): equal texts have equal ones, and without the key nobody can try guesses."""
        return hmac.digest(self.key, b"alike\n" + data, "sha256").hex()


def load_or_make(directory: Path) -> Vault:
    """The vault of a home. Raises `StoreUnavailable` for a key that others can read, or that is none."""
    path = directory / FILE
    try:
        if not path.exists():
            _make(directory, path)
        if not is_private(path):
            raise StoreUnavailable(f"others can read the key {FILE}", hint="set its mode to 0600")
        key = path.read_bytes()
    except OSError as error:
        raise StoreUnavailable(f"the key {FILE} cannot be used: {error.strerror}") from None
    if len(key) != _KEY_BYTES:
        raise StoreUnavailable(f"the key {FILE} is none", hint="restore it; without it waiting tasks cannot go on")
    return Vault(key)


def _make(directory: Path, path: Path) -> None:
    """Write a whole key or none; of two processes that make one at a time, one wins and both use it."""
    make_private_directory(directory)
    draft = directory / f"{FILE}.{secrets.token_hex(8)}"
    make_private_file(draft)
    draft.write_bytes(os.urandom(_KEY_BYTES))
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
