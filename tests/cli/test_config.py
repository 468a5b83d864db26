"""`mcp-guard config …`."""

import json
from pathlib import Path

import pytest

from mcp_guard.config.schemas import schemas
from tests.cli.conftest import Guard


def test_show_and_where_it_comes_from(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_GUARD_SERVER__HTTP__PORT", "9000")
    values = guard("--json", "config", "show").json
    assert (values["name"], values["server.http.port"]) == ("support-desk", 9000)
    origins = guard("--json", "config", "show", "--origin").json
    assert origins["server.http.port"] == {"value": 9000, "origin": "env:MCP_GUARD_SERVER__HTTP__PORT"}
    assert origins["name"]["origin"].startswith("file:")
    assert origins["server.http.allowed_hosts"]["origin"] == "default"
    assert "env:MCP_GUARD_SERVER__HTTP__PORT" in guard("config", "show", "--origin").out
    assert "support-desk" in guard("config", "show").out


def test_validate(guard: Guard) -> None:
    ran = guard("--json", "config", "validate")
    assert (ran.status, ran.json["ok"], ran.json["tools"]) == (0, True, 15)
    assert len(ran.json["policy"]) == 64
    assert guard("config", "validate").out.startswith("ok: 15 tools")


def test_schema(run_here: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    expected = {name: json.loads(text) for name, text in schemas().items()}
    assert run_here("--json", "config", "schema").json == expected, "needs no home"
    assert run_here("--json", "config", "schema", "--write", "out").json == {"written": ["config.json", "tools.json"]}
    assert {path.name: json.loads(path.read_bytes()) for path in (tmp_path / "out").iterdir()} == expected
    assert b"\r" not in (tmp_path / "out" / "tools.json").read_bytes()
