"""Homes in temporary directories."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mcp_guard.config.home import Home
from mcp_guard.config.load import load

MINIMAL = "apiVersion: mcp-guard/v1\nname: desk\ntools: [tool_manifests/*.yaml]\npolicy: {}\n"
Load = Callable[..., Home]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Load a home whose `mcp-guard.yaml` is this text; no variable of the real environment is seen."""

    def run(text: str | bytes = MINIMAL, environ: Mapping[str, str] | None = None, **overrides: object) -> Home:
        (tmp_path / "mcp-guard.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        dotted = {key.replace("__", "."): value for key, value in overrides.items()}
        return load(tmp_path, environ=environ or {}, overrides=dotted)

    return run
