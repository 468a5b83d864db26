"""`mcp-guard init`: a home that works from the first minute."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Guard


@pytest.mark.holds("cli:init")
def test_a_new_home_works(fresh: Path, run_here: Guard) -> None:
    def guard(*arguments: str) -> object:
        ran = run_here("--home", str(fresh), "--json", *arguments)
        assert ran.status == 0, ran.out
        return ran.json

    result = guard("call", "hello_greet", "name=World")
    assert isinstance(result, dict)
    assert result["structuredContent"] == {"greeting": "Hello World!"}
    assert guard("policy", "lint") == []
    assert guard("tools", "lint") == []
    tests = guard("policy", "test")
    assert isinstance(tests, list)
    assert [row["passed"] for row in tests] == [True, True]
    assert guard("audit", "verify")
    checks = guard("doctor")
    assert isinstance(checks, list)
    assert {check["state"] for check in checks} == {"ok"}


def test_here_or_there(tmp_path: Path, run_here: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert run_here("init").status == 0
    assert (here / "mcp-guard.yaml").is_file()
    assert run_here("--home", str(tmp_path / "there"), "init").status == 0
    assert (tmp_path / "there" / "policy" / "policy.csv").is_file()


@pytest.mark.parametrize("name", ["Käse & Wein", "2026", "---", "x" * 200, "日本", "a..b"])
def test_any_directory_gives_a_valid_name(name: str, tmp_path: Path, run_here: Guard) -> None:
    home = tmp_path / name
    assert run_here("init", str(home)).status == 0
    assert run_here("--home", str(home), "config", "validate").status == 0


def test_nothing_is_overwritten(tmp_path: Path, run_here: Guard) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.csv").write_text("mine", encoding="utf-8")
    ran = run_here("--json", "init", str(tmp_path))
    assert (ran.status, ran.error["code"]) == (2, "usage")
    assert "policy.csv is already there" in ran.error["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    assert (tmp_path / "policy" / "policy.csv").read_text(encoding="utf-8") == "mine"


def test_an_existing_gitignore_stays(tmp_path: Path, run_here: Guard) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n", encoding="utf-8")
    written = run_here("--json", "init", str(tmp_path)).json["written"]
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "*.log\n"
    assert not any(path.endswith(".gitignore") for path in written)


def test_a_place_that_cannot_be_written(tmp_path: Path, run_here: Guard) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    ran = run_here("--json", "init", str(tmp_path / "file" / "home"))
    assert ran.status == 1
    assert os.fspath(tmp_path / "file") in ran.error["message"]
    assert "Traceback" not in json.dumps(ran.error)
