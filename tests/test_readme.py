"""What the README tells a newcomer to type works as it stands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulators.process import Program

README = Path(__file__).parents[1] / "README.md"
_BLOCK = re.compile(r"<!-- run: commands -->\n```sh\n(.*?)```", re.DOTALL)


def _commands() -> list[str]:
    blocks = _BLOCK.findall(README.read_text(encoding="utf-8"))
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_there_is_something_to_run() -> None:
    assert len(_commands()) > 10


@pytest.mark.holds("docs:readme-runs")
def test_every_command_works(desk: Program, tmp_path: Path) -> None:
    environ = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    for line in _commands():
        program, *arguments = shlex.split(line.partition(" #")[0])
        assert program == "mcp-guard"
        done = subprocess.run(
            [sys.executable, "-m", "mcp_guard", *arguments],
            cwd=desk.home,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr


def test_every_page_of_the_documentation_is_named() -> None:
    index = README.read_text(encoding="utf-8").partition("## Going on")[2]
    pages = {f"docs/{page.name}" for page in (README.parent / "docs").glob("*.md")}
    assert pages <= set(re.findall(r"\]\(([^)#]+)\)", index))


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
