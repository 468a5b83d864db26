"""`mcp-guard connect` and `disconnect`: another program's file, changed as little as can be."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Guard
from tests.simulators.process import Program

FILES = {"claude-code": ".claude.json", "cursor": ".cursor/mcp.json"}


@pytest.fixture(autouse=True)
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whose clients these are: nobody's on this machine."""
    home = tmp_path / "person"
    home.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("APPDATA", str(home / "AppData"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return home


def _document(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.holds("cli:connect")
@pytest.mark.parametrize("client", ["claude-desktop", "claude-code", "cursor"])
def test_connect_and_disconnect(client: str, guard: Guard, desk: Program, person: Path) -> None:
    ran = guard("--json", "connect", client)
    assert ran.status == 0
    assert ran.json["written"] is True
    assert ran.json["backup"] is None
    path = Path(ran.json["path"])
    assert path.is_relative_to(person)
    entry = _document(path)["mcpServers"]["support-desk"]
    assert entry["command"] == sys.executable
    assert Path(entry["command"]).is_absolute()
    assert entry["args"] == ["-m", "mcp_guard", "--home", str(desk.home.resolve()), "serve", "--stdio"]

    again = guard("--json", "connect", client).json
    assert (again["written"], again["backup"]) == (False, None), "nothing to do twice"

    gone = guard("--json", "disconnect", client).json
    assert _document(path) == {"mcpServers": {}}
    assert _document(Path(gone["backup"]))["mcpServers"]["support-desk"] == entry
    ran = guard("--json", "disconnect", client)
    assert (ran.status, ran.error["code"]) == (2, "usage")


@pytest.mark.holds("cli:connect")
def test_everything_else_in_the_file_stays(guard: Guard, person: Path) -> None:
    path = person / FILES["claude-code"]
    before = {
        "numStartups": 12,
        "ratio": 0.1,
        "mcpServers": {"other": {"command": "x", "env": {"API_KEY": "sk-hunter2"}}},
        "history": ["ünïcødé", "\ud83d"],
        "deep": [[[[{}]]]],
    }
    path.write_text(json.dumps(before), encoding="utf-8")
    path.chmod(0o640)
    original = path.read_bytes()
    ran = guard("connect", "claude-code")
    assert ran.status == 0
    assert "hunter2" not in ran.out + ran.err
    after = _document(path)
    entry = after["mcpServers"].pop("support-desk")
    assert entry["args"][-1] == "--stdio"
    assert after == before
    backup = person / ".claude.json.backup-1"
    assert backup.read_bytes() == original
    if sys.platform != "win32":
        assert [file.stat().st_mode & 0o777 for file in (path, backup)] == [0o640, 0o640]
    assert sorted(file.name for file in person.iterdir()) == [".claude.json", ".claude.json.backup-1"]


def test_a_backup_never_overwrites_one(guard: Guard, person: Path) -> None:
    path = person / FILES["claude-code"]
    path.write_text('{"a": 1}', encoding="utf-8")
    (person / ".claude.json.backup-1").write_text("older", encoding="utf-8")
    guard("connect", "claude-code")
    assert (person / ".claude.json.backup-1").read_text(encoding="utf-8") == "older"
    assert _document(person / ".claude.json.backup-2") == {"a": 1}


@pytest.mark.holds("cli:connect")
@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '"text"',
        "null",
        '{"mcpServers": []}',
        '{"mcpServers": null}',
        '{"mcpServers": {}, "mcpServers": {}}',
        '{"a": {"b": 1, "b": 2}}',
        "// comment\n{}",
        "[" * 100_000,
        b"\xff\xfe{\x00",
    ],
)
def test_a_file_that_is_not_understood_is_left_alone(text: str | bytes, guard: Guard, person: Path) -> None:
    path = person / FILES["claude-code"]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for command in ("connect", "disconnect"):
        ran = guard("--json", command, "claude-code")
        assert (ran.status, ran.error["code"]) == (2, "usage")
    assert path.read_bytes() == (text if isinstance(text, bytes) else text.encode())
    assert [file.name for file in person.iterdir()] == [".claude.json"]


@pytest.mark.holds("cli:connect")
def test_a_dry_run_writes_nothing_and_shows_only_our_entry(guard: Guard, person: Path) -> None:
    ran = guard("--json", "connect", "cursor", "--dry-run")
    assert ran.json["written"] is False
    assert ran.json["entry"]["command"] == sys.executable
    assert list(person.iterdir()) == []
    path = person / FILES["claude-code"]
    path.write_text('{"mcpServers": {"other": {"env": {"KEY": "hunter2"}}}}', encoding="utf-8")
    before = path.read_bytes()
    ran = guard("connect", "claude-code", "--dry-run")
    assert "support-desk" in ran.out
    assert "hunter2" not in ran.out
    assert path.read_bytes() == before


def test_another_server_of_that_name_is_mentioned(guard: Guard, person: Path) -> None:
    path = person / FILES["claude-code"]
    path.write_text('{"mcpServers": {"support-desk": {"command": "x"}}}', encoding="utf-8")
    assert "another server named support-desk was there" in guard("connect", "claude-code").err


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_stays_a_link(guard: Guard, person: Path) -> None:
    real = person / "dotfiles.json"
    real.write_text("{}", encoding="utf-8")
    link = person / FILES["claude-code"]
    link.symlink_to(real)
    assert guard("connect", "claude-code").status == 0
    assert link.is_symlink()
    assert "support-desk" in _document(real)["mcpServers"]


def test_an_unknown_client(guard: Guard) -> None:
    assert guard("--json", "connect", "emacs").error["code"] == "usage"
