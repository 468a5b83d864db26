"""What a witness must never forget, in one directory: its key, and of every log the last head it signed.

A witness that forgot what it signed could be shown another history, and would sign that too, so a directory that has
lost one of the two is refused and never made anew.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Final

from mcp_guard.audit.key_files import load_key
from mcp_guard.audit.signer import SigningKey
from mcp_guard.kit import private_file
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.model.errors import GuardError, Invalid, StoreUnavailable
from mcp_guard.model.merkle import EMPTY_ROOT
from mcp_guard.model.note import COSIGNATURE, Checkpoint, NoteError, decode_base64
from mcp_guard.model.problem import Problem
from mcp_guard.store.locks import OsLock

KEY: Final = "witness.key"
HEADS: Final = "witness.heads"
LOCK: Final = "witness.lock"


@dataclass(frozen=True, slots=True)
class Remembered:
    """The last signed head of each log by origin, and which keys (vkeys) logs announced to follow which."""

    heads: Mapping[str, Checkpoint] = field(default_factory=dict)
    followed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def head(self, origin: str) -> Checkpoint:
        """Size 0 where nothing was signed yet."""
        return self.heads.get(origin) or Checkpoint(origin, 0, EMPTY_ROOT)

    def to_text(self) -> str:
        heads = {origin: [head.size, b64encode(head.root).decode()] for origin, head in self.heads.items()}
        return json.dumps({"heads": heads, "followed": self.followed}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def parse(cls, text: str) -> "Remembered":
        """Raises `ValueError`."""
        try:
            found = json.loads(text)
            heads = {
                origin: Checkpoint(origin, size, decode_base64(root)) for origin, (size, root) in found["heads"].items()
            }
            return cls(heads, {key: tuple(map(str, others)) for key, others in found["followed"].items()})
        except (LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError from error


class WitnessMemory:
    """The directory of one witness, held by one process at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = OsLock(directory / LOCK)

    def open(self, name: str | None = None) -> SigningKey:
        """Take the directory and give the witness's key, made at first; `name` is what a first key is called.

        Raises `Invalid` for a directory that must not be used, `StoreUnavailable` where it cannot be.
        """
        try:
            if not self._lock.try_acquire():
                raise StoreUnavailable("another witness runs on this directory", hint="end it, or name another one")
            return self._open(name)
        except OSError as error:
            self.close()
            raise StoreUnavailable(f"the directory of the witness cannot be used: {error.strerror}", hint="") from None
        except GuardError:
            self.close()
            raise

    def read(self) -> Remembered:
        """What was signed. Raises `Invalid` where that cannot be told any more, and `OSError`."""
        try:
            return Remembered.parse((self._directory / HEADS).read_text(encoding="utf-8"))
        except ValueError:
            raise self._invalid("what the witness signed cannot be read any more") from None

    def write(self, remembered: Remembered) -> None:
        """Durable before this returns. Raises `OSError`; what is remembered then only the next `read` tells."""
        failpoint("witness.before-remembering")
        private_file.replace(self._directory / HEADS, remembered.to_text().encode())
        failpoint("witness.remembered")

    def close(self) -> None:
        self._lock.close()

    def _open(self, name: str | None) -> SigningKey:
        key, remembers = load_key(self._directory / KEY, COSIGNATURE), (self._directory / HEADS).exists()
        if key is None and not remembers:
            self.write(Remembered())
        elif not remembers or (self.read().heads and key is None):
            raise self._invalid("the witness has lost its key, or what it signed under it")
        failpoint("witness.memory-made")
        return key or self._make(name)

    def _make(self, name: str | None) -> SigningKey:
        try:
            key = SigningKey.generate(name or f"witness/{token_hex(8)}", COSIGNATURE)
        except NoteError as error:
            raise Invalid([Problem("name", str(error), "--name")]) from None
        private_file.replace(self._directory / KEY, f"{key.to_text()}\n".encode())
        return key

    def _invalid(self, message: str) -> Invalid:
        hint = "a witness is not restored and not repaired: begin a new one in an empty directory, and tell its new key"
        return Invalid([Problem("witness", message, str(self._directory), hint=hint)])
