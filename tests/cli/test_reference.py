"""`docs/cli.md` is what the commands say of themselves."""

from pathlib import Path

import pytest

from mcp_guard.cli.reference import render
from tests.cli.test_root import COMMANDS

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.mark.holds("cli:reference-current")
def test_the_checked_in_reference_is_current() -> None:
    hint = "run: python -m mcp_guard.cli.reference > docs/cli.md"
    assert DOCUMENT.read_text(encoding="utf-8") == render(), hint


def test_every_command_is_in_it() -> None:
    text = render()
    for path in COMMANDS:
        assert f"\n## mcp-guard {' '.join(path)}\n" in text
