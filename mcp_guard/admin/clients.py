"""Entries in the configuration files of MCP clients: written whole or not at all, with a backup of what was there."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcp_guard.kit.strict_json import JsonError, loads
from mcp_guard.model.errors import UsageError

CLIENTS = ("claude-desktop", "claude-code", "cursor")


@dataclass(frozen=True, slots=True)
class Change:
    """What would be written where. `after` equals `before` where nothing is to do."""

    path: Path
    before: str | None
    after: str


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


def entry(home: Path) -> dict[str, object]:
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
        raise UsageError(f"{path}: mcpServers is not an object.", hint="correct the file; nothing was changed")
    servers[name] = entry(home)
    return Change(path, before, _render(document))


def plan_disconnect(path: Path, name: str) -> Change:
    """Remove one server entry. Raises `UsageError` where it is not there."""
    before, document = _read(path)
    servers = document.get("mcpServers")
    if not isinstance(servers, dict) or name not in servers:
        raise UsageError(f"{path} has no server named {name}.", hint="nothing was changed")
    del servers[name]
    return Change(path, before, _render(document))


def apply(change: Change) -> Path | None:
    """Write a change atomically; returns the backup of what was there before, if anything was."""
    change.path.parent.mkdir(parents=True, exist_ok=True)
    backup = None
    if change.before is not None:
        backup = _free_name(change.path)
        backup.write_text(change.before, encoding="utf-8")
    fresh = change.path.with_name(change.path.name + ".new")
    fresh.write_text(change.after, encoding="utf-8")
    if change.before is not None:
        fresh.chmod(change.path.stat().st_mode & 0o777)
    os.replace(fresh, change.path)
    return backup


def _free_name(path: Path) -> Path:
    number = 1
    while (candidate := path.with_name(f"{path.name}.backup-{number}")).exists():
        number += 1
    return candidate


def _read(path: Path) -> tuple[str | None, dict[str, object]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None, {}
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{path} cannot be read.", hint="check its permissions; nothing was changed") from None
    try:
        document = loads(text.encode()) if text.strip() else {}
    except JsonError as error:
        raise UsageError(f"{path} is not valid: {error}.", hint="correct the file; nothing was changed") from None
    if not isinstance(document, dict):
        raise UsageError(f"{path} is not a JSON object.", hint="correct the file; nothing was changed")
    return text, document


def _render(document: Mapping[str, object]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
