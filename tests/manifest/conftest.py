"""A home in a temporary directory, and manifests as text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_guard.manifest.catalog import Catalog
from mcp_guard.manifest.home import HomeFiles
from mcp_guard.manifest.load import lint
from mcp_guard.model.problem import Problem
from mcp_guard.model.tool import Tool

Lint = Callable[..., tuple[Catalog | None, list[Problem]]]
Compile = Callable[[str], Tool]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for directory in ("tool_manifests", "policy", "var/keys"):
        (tmp_path / directory).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def reserved(home: Path) -> HomeFiles:
    return HomeFiles(
        files=frozenset({home / "mcp-guard.yaml"}),
        trees=frozenset({home / "policy", home / "tool_manifests", home / "var/keys"}),
        store=home / "var/guard.db",
    )


@pytest.fixture
def lint_texts(home: Path, reserved: HomeFiles) -> Lint:
    """Write the texts as a.yaml, b.yaml, … and lint them."""

    def run(*texts: str | bytes) -> tuple[Catalog | None, list[Problem]]:
        for old in (home / "tool_manifests").iterdir():
            old.unlink()
        for letter, text in zip("abcdef", texts, strict=False):
            data = text if isinstance(text, bytes) else text.encode()
            (home / f"tool_manifests/{letter}.yaml").write_bytes(data)
        return lint(home, ["tool_manifests/*.yaml"], reserved=reserved)

    return run


@pytest.fixture
def compile_tool(lint_texts: Lint) -> Compile:
    """The only tool of a manifest that has no errors."""

    def run(text: str) -> Tool:
        catalog, problems = lint_texts(text)
        assert catalog is not None, "\n".join(map(str, problems))
        (entry,) = catalog.values()
        return entry.tool

    return run
