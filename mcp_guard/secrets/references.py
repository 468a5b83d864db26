"""`${secret:name}`, `${env:NAME}`, `${file:/path}`: from a reference to its value, at the moment of use.

    secret:name   where `secrets:` of the configuration names a program or keyring for it, that and nothing else; else
                  the variable MCP_GUARD_SECRET_<NAME> (upper case, other characters become _), else the file
                  var/secrets/<name> below the home, which only its owner may read or write
    env:NAME      the variable NAME
    file:/path    a file somebody else put there (container secrets); its permissions are theirs

`${token:…}` is made out for one call by whoever carries it out; here it has no value.
One line break at the end of a file is not part of the value. The grammar is `mcp_guard.kit.references`.
"""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mcp_guard.kit.platform import is_private
from mcp_guard.kit.references import Reference
from mcp_guard.model.errors import Refused
from mcp_guard.secrets.programs import NoValue, Programs
from mcp_guard.secrets.redact import MIN_LENGTH, Redactor

MAX_BYTES = 64 * 1024
SECRETS_DIRECTORY = Path("var/secrets")
_NOT_IN_VARIABLES = re.compile(r"[^A-Za-z0-9]")


class Unresolvable(Refused):
    """A secret the tool needs is not there. Nothing was executed; the reason names the reference, never a value."""

    def __init__(self, reference: Reference, why: str) -> None:
        super().__init__("upstream_unavailable", f"${{{reference.kind}:{reference.name}}} cannot be used: {why}")


class _Version(NamedTuple):
    """A file as it was read; a change of any part means that it has to be read again."""

    inode: int
    size: int
    modified: int
    changed: int


class Resolver:
    """Resolves references and teaches every value to its redactor before handing it out."""

    def __init__(
        self, home: Path, environ: Mapping[str, str], redactor: Redactor, programs: Programs | None = None
    ) -> None:
        self._directory = home / SECRETS_DIRECTORY
        self._environ = environ
        self._redactor = redactor
        self._programs = programs if programs is not None else Programs({})
        self._files: dict[Path, tuple[_Version, str]] = {}

    async def obtain(self, reference: Reference) -> str:
        """`resolve` on an event loop: a program is waited for in a thread. Raises `Unresolvable`."""
        if self._has_program(reference) and not self._programs.is_fresh(reference.name):
            return self._checked(reference, await asyncio.to_thread(self._find, reference))
        return self.resolve(reference)

    def resolve(self, reference: Reference) -> str:
        """The value now. Raises `Unresolvable`."""
        return self._checked(reference, self._find(reference))

    def _checked(self, reference: Reference, value: str) -> str:
        # Too short to be found again in an answer; a variable may hold a plain setting, the others are secrets.
        if len(value) < MIN_LENGTH and reference.kind != "env":
            raise Unresolvable(reference, f"its value has fewer than {MIN_LENGTH} characters")
        self._redactor.learn(value)
        return value

    def source_of(self, reference: Reference) -> str:
        """Where a value comes from, in words for people."""
        if self._has_program(reference):
            return "a program"
        if reference.kind != "secret":
            return "variable" if reference.kind == "env" else reference.kind
        return "variable" if self._environ.get(variable_of(reference.name)) else "file"

    def _has_program(self, reference: Reference) -> bool:
        return reference.kind == "secret" and reference.name in self._programs

    def _find(self, reference: Reference) -> str:
        if self._has_program(reference):
            try:
                return self._programs.value(reference.name)
            except NoValue as error:
                raise Unresolvable(reference, str(error)) from None
        if reference.kind == "token":
            raise Unresolvable(reference, "it is made out during a call only")
        if reference.kind == "file":
            return self._read(reference, Path(reference.name), private=False)
        variable = reference.name if reference.kind == "env" else variable_of(reference.name)
        value = self._environ.get(variable)
        if value:
            return value
        if reference.kind == "env":
            raise Unresolvable(reference, "the variable is not set")
        return self._read(reference, self._directory / reference.name, private=True)

    def _read(self, reference: Reference, path: Path, *, private: bool) -> str:
        try:
            status = path.stat()
            version = _Version(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            cached = self._files.get(path)
            if cached is not None and cached[0] == version:
                return cached[1]
            if private and not is_private(path):
                raise Unresolvable(reference, "its file can be read or written by others; set its mode to 0600")
            value = _decode(reference, path, status.st_size)
        except (OSError, ValueError):
            raise Unresolvable(reference, _missing(reference)) from None
        self._files[path] = (version, value)
        return value


def variable_of(name: str) -> str:
    """The environment variable that can hold the secret `name`."""
    return "MCP_GUARD_SECRET_" + _NOT_IN_VARIABLES.sub("_", name).upper()


def _decode(reference: Reference, path: Path, size: int) -> str:
    if size > MAX_BYTES or not path.is_file():
        raise Unresolvable(reference, f"it is not a file of at most {MAX_BYTES} bytes")
    text = path.read_bytes()[:MAX_BYTES].decode("utf-8", "strict")
    return text.removesuffix("\n").removesuffix("\r")


def _missing(reference: Reference) -> str:
    if reference.kind == "file":
        return "its file is missing, unreadable or not UTF-8 text"
    file = f"{SECRETS_DIRECTORY.as_posix()}/{reference.name}"
    return f"neither the variable {variable_of(reference.name)} nor a readable file {file} is there"
