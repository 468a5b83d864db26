"""Commands in this process: as fast as a function, and as honest as the program."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.cli.root import run
from tests.simulators.process import Program


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as the one JSON document it has to be."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error of a command that was asked for JSON; stderr stays empty then."""
        assert self.err == ""
        assert list(self.json) == ["error"]
        return self.json["error"]


Guard = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a process may change for itself is put back: loggers, import path, modules of homes."""
    monkeypatch.delenv("MCP_GUARD_TOKEN", raising=False)
    monkeypatch.delenv("MCP_GUARD_HOME", raising=False)
    root = logging.getLogger("mcp_guard")
    before = (list(root.handlers), root.propagate, root.level)
    path, modules = list(sys.path), set(sys.modules)
    yield
    root.handlers[:], root.propagate = before[0], before[1]
    root.setLevel(before[2])
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("home_"):
            del sys.modules[name]


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> Guard:
    """`run_here("explain", "internal")`: one command without a home of its own."""

    def ran(*arguments: str) -> Ran:
        capsys.readouterr()
        status = run(arguments)
        out, err = capsys.readouterr()
        return Ran(status, out, err)

    return ran


@pytest.fixture
def guard(desk: Program, run_here: Guard) -> Guard:
    """`guard("tools", "list")`: one command on a fresh copy of the example home."""
    return lambda *arguments: run_here("--home", str(desk.home), *arguments)


@pytest.fixture
def fresh(tmp_path: Path, run_here: Guard) -> Path:
    """A home as `init` makes it."""
    home = tmp_path / "fresh"
    assert run_here("init", str(home)).status == 0
    return home


def change(path: Path, old: str, new: str) -> None:
    """Edit a file; `old` has to be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
