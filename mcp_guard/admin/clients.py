"""Entries in the configuration files of MCP clients: written whole or not at all, with a backup of what was there."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcp_guard.kit.platform import make_private_file
from mcp_guard.model.errors import UsageError

CLIENTS = ("claude-desktop", "claude-code", "cursor")

_UNCHANGED = "correct the file; nothing was changed"
Entry = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Change:
    """What would be written where: the file before and after, and the one entry that differs.

    `entry` is `None` where it is taken out; `replaces` says that another one of this name was there.
    """

    path: Path
    name: str
    entry: Entry | None
    replaces: bool
    before: bytes | None
    after: bytes

    @property
    def is_needed(self) -> bool:
        return self.before != self.after

    @property
    def preview(self) -> str:
        """The entry as it would stand in the file, without what stands beside it."""
        return json.dumps({"mcpServers": {self.name: self.entry}}, indent=2, ensure_ascii=False)


def config_path(client: str, environ: Mapping[str, str], user_home: Path) -> Path:
    """Where a client keeps its MCP servers on this platform."""
    if client == "claude-code":
        return user_home / ".claude.json"
    if client == "cursor":
        return user_home / ".cursor" / "mcp.json"
    if sys.platform == "darwin":
        folder = user_home / "Library" / "Application Support" / "Claude"
    elif sys.platform == "win32":
        folder = Path(environ.get("APPDATA", str(user_home / "AppData" / "Roaming"))) / "Claude"
    else:
        folder = Path(environ.get("XDG_CONFIG_HOME", str(user_home / ".config"))) / "Claude"
    return folder / "claude_desktop_config.json"


def entry(home: Path) -> Entry:
    """How a client starts this home: absolute paths, because clients start servers from anywhere."""
    return {
        "command": sys.executable,
        "args": ["-m", "mcp_guard", "--home", str(home.resolve()), "serve", "--stdio"],
    }


def plan_connect(path: Path, name: str, home: Path) -> Change:
    """Add or replace one server entry. Raises `UsageError` where the file is there but not a JSON object."""
    before, document = _read(path)
    servers = document.setdefault("mcpServers", {})
    if not isinstance(servers, dict):
        raise UsageError(f"{path}: mcpServers is not an object.", hint=_UNCHANGED)
    ours, present = entry(home), servers.get(name)
    if present == ours and before is not None:
        return Change(path, name, ours, False, before, before)
    servers[name] = ours
    return Change(path, name, ours, present is not None, before, _render(document))


def plan_disconnect(path: Path, name: str) -> Change:
    """Remove one server entry. Raises `UsageError` where it is not there."""
    before, document = _read(path)
    servers = document.get("mcpServers")
    if not isinstance(servers, dict) or name not in servers:
        raise UsageError(f"{path} has no server named {name}.", hint="nothing was changed")
    del servers[name]
    return Change(path, name, None, False, before, _render(document))


def apply(change: Change) -> Path | None:
    """Write a change atomically; returns the backup of what was there before, if anything was.

    Such files hold other servers' keys, so neither the new file nor the backup is ever readable by more people than
    the file was. Raises `UsageError` where somebody else changed the file meanwhile, `OSError` where it cannot be
    written.
    """
    if not change.is_needed:
        return None
    target = change.path.resolve()  # a link stays a link; what it points to is replaced
    target.parent.mkdir(parents=True, exist_ok=True)
    if _bytes(target) != change.before:
        raise UsageError(f"{change.path} was changed by another program just now.", hint="run the command again")
    mode = target.stat().st_mode & 0o777 if change.before is not None else 0o600
    backup = _free_name(target) if change.before is not None else None
    if backup is not None and change.before is not None:
        _write(backup, change.before, mode)
    fresh = target.with_name(f"{target.name}.new-{os.getpid()}")
    try:
        _write(fresh, change.after, mode)
        os.replace(fresh, target)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    return backup


def _write(path: Path, data: bytes, mode: int) -> None:
    make_private_file(path)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(mode)


def _free_name(path: Path) -> Path:
    number = 1
    while (candidate := path.with_name(f"{path.name}.backup-{number}")).exists():
        number += 1
    return candidate


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _read(path: Path) -> tuple[bytes | None, dict[str, object]]:
    try:
        data = _bytes(path)
    except OSError:
        raise UsageError(f"{path} cannot be read.", hint="check its permissions; nothing was changed") from None
    if data is None or not data.strip():
        return data, {}
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not valid JSON.", hint=_UNCHANGED) from None
    if not isinstance(document, dict):
        raise UsageError(f"{path} is not a JSON object.", hint=_UNCHANGED)
    return data, document


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of a key that stands there twice, one value would be lost on writing."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object holds the same key twice")
    return found


def _render(document: Mapping[str, object]) -> bytes:
    try:
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # half of a surrogate pair, as some clients cut texts; escapes keep it
        return (json.dumps(document, indent=2) + "\n").encode()
