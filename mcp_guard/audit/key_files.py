"""The signing keys of a log as files: the one in force, the one to come, and the one that is being destroyed."""

import os
from pathlib import Path
from typing import Final

from mcp_guard.audit.signer import SigningKey
from mcp_guard.kit import private_file
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.kit.platform import is_private, sync_directory
from mcp_guard.model.errors import Invalid
from mcp_guard.model.note import ED25519, NoteError, VerifierKey
from mcp_guard.model.problem import Problem

CURRENT: Final = "audit.key"
NEXT: Final = "audit-next.key"
OLD: Final = "audit-old.key"
PUBLIC: Final = "audit.vkeys"
"""The public keys this home has signed with, one vkey a line, oldest first."""
_LONGEST = 1024


class KeyFiles:
    """The keys of one log in the key directory. Methods raise `Invalid` for a file that must not be used."""

    def __init__(self, directory: Path, origin: str) -> None:
        self._directory = directory
        self._origin = origin

    def load(self, name: str) -> SigningKey | None:
        """The key in a file, or `None` where there is none."""
        key = load_key(self._directory / name)
        if key is not None and key.public.name != self._origin:
            path = self._directory / name
            raise _invalid(
                path,
                "this is the signing key of another log",
                "put back the key of this log, or the store this key is of",
            )
        return key

    def make(self, name: str) -> SigningKey:
        """Make a key and its file, durable before this returns."""
        key = SigningKey.generate(self._origin)
        self._write(name, key.to_text() + "\n")
        return key

    def promote(self) -> None:
        """Put the next key in force and destroy the one before. Can be repeated from any point where it was cut off."""
        if self._has(NEXT):
            if self._has(CURRENT):
                self._rename(CURRENT, OLD)
            failpoint("audit.key-put-away")
            self._rename(NEXT, CURRENT)
        failpoint("audit.key-in-force")
        self.destroy(OLD)

    def destroy(self, name: str) -> None:
        """Overwrite a key and remove it, where there is one."""
        path = self._directory / name
        try:
            with path.open("r+b") as file:
                file.write(b"\0" * path.stat().st_size)
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            sync_directory(self._directory)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _invalid(path, f"a key cannot be destroyed: {error.strerror}", "mend its owner or mode") from None

    def publish(self, key: VerifierKey) -> None:
        """Add a public key to the list of those this home has signed with."""
        known = self.published()
        if key not in known:
            self._write(PUBLIC, "".join(f"{each}\n" for each in (*known, key)))

    def published(self) -> tuple[VerifierKey, ...]:
        """The public keys this home has signed with, oldest first."""
        return published(self._directory)

    def _has(self, name: str) -> bool:
        return (self._directory / name).exists()

    def _rename(self, name: str, to: str) -> None:
        try:
            os.replace(self._directory / name, self._directory / to)
            sync_directory(self._directory)
        except OSError as error:
            raise _invalid(
                self._directory / name, f"a key cannot be put in force: {error.strerror}", "mend its owner or mode"
            ) from None

    def _write(self, name: str, text: str) -> None:
        """A whole file or none, readable by its owner alone."""
        try:
            private_file.replace(self._directory / name, text.encode())
        except OSError as error:
            raise _invalid(
                self._directory / name, f"a key cannot be written: {error.strerror}", "mend the directory of the keys"
            ) from None


def load_key(path: Path, kind: int = ED25519) -> SigningKey | None:
    """The key in a file, or `None` where there is none. Raises `Invalid` for a file that must not be used."""
    try:
        if not path.exists():
            return None
        if not is_private(path):
            raise _invalid(path, "the signing key can be read or written by others", "set its mode to 0600")
        with path.open("rb") as file:
            return SigningKey.parse(file.read(_LONGEST).decode("ascii").rstrip("\n"), kind)
    except OSError as error:
        raise _invalid(path, f"the signing key cannot be read: {error.strerror}", "mend its owner or mode") from None
    except (NoteError, UnicodeDecodeError):
        raise _invalid(path, "this is not an Ed25519 signing key", "put the right file back") from None


def published(directory: Path) -> tuple[VerifierKey, ...]:
    """The public keys a home has signed its log with, oldest first; none where it has signed nothing.

    Raises `Invalid`.
    """
    path = directory / PUBLIC
    try:
        lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
        return tuple(map(VerifierKey.parse, lines))
    except OSError as error:
        raise _invalid(path, f"the public keys cannot be read: {error.strerror}", "mend its owner or mode") from None
    except (NoteError, UnicodeDecodeError):
        raise _invalid(path, "these are not the public keys of a log", "put the right file back") from None


def _invalid(path: Path, message: str, hint: str) -> Invalid:
    return Invalid([Problem("key", message, str(path), hint=hint)])
