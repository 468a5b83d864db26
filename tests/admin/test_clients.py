"""Other programs' files: where they are, and what happens when somebody else writes them too."""

import os
import sys
from pathlib import Path

import pytest

from mcp_guard.admin.clients import CLIENTS, apply, config_path, entry, plan_connect, plan_disconnect
from mcp_guard.model.errors import UsageError


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {}, ".config/Claude/claude_desktop_config.json"),
        ("linux", {"XDG_CONFIG_HOME": "/xdg"}, "/xdg/Claude/claude_desktop_config.json"),
        ("darwin", {"XDG_CONFIG_HOME": "/xdg"}, "Library/Application Support/Claude/claude_desktop_config.json"),
        ("win32", {"APPDATA": "/roaming"}, "/roaming/Claude/claude_desktop_config.json"),
        ("win32", {}, "AppData/Roaming/Claude/claude_desktop_config.json"),
    ],
)
def test_where_the_desktop_client_keeps_its_file(
    platform: str, environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert config_path("claude-desktop", environ, Path("/me")) == Path("/me") / expected


def test_every_client_has_a_place() -> None:
    assert len({config_path(client, {}, Path("/me")) for client in CLIENTS}) == len(CLIENTS)


def test_an_entry_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = entry(Path("home"))["args"]
    assert isinstance(arguments, list)
    assert str(tmp_path.resolve() / "home") in arguments


@pytest.mark.holds("cli:connect")
def test_a_change_by_another_program_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a": 1}', encoding="utf-8")
    change = plan_connect(path, "desk", tmp_path)
    path.write_text('{"a": 2}', encoding="utf-8")
    with pytest.raises(UsageError, match="changed by another program"):
        apply(change)
    assert path.read_text(encoding="utf-8") == '{"a": 2}'
    path.unlink()
    with pytest.raises(UsageError, match="changed by another program"):
        apply(change)


@pytest.mark.holds("cli:connect")
def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a": 1}', encoding="utf-8")
    change = plan_connect(path, "desk", tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        apply(change)
    assert path.read_text(encoding="utf-8") == '{"a": 1}'
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "config.json.backup-1"]


@pytest.mark.skipif(os.name != "posix", reason="there are no such bits")
def test_keys_of_others_stay_private(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    change = plan_connect(path, "desk", tmp_path)
    assert apply(change) is None
    assert path.stat().st_mode & 0o777 == 0o600
    backup = apply(plan_disconnect(path, "desk"))
    assert backup is not None
    assert backup.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_is_a_beginning(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(" \n", encoding="utf-8")
    apply(plan_connect(path, "desk", tmp_path))
    assert b'"desk"' in path.read_bytes()
    with pytest.raises(UsageError, match="no server named other"):
        plan_disconnect(path, "other")
