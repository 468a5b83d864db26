"""Programs are found where they are installed, whatever the environment says."""

import subprocess
import sys
from pathlib import Path

import pytest

from mcp_guard.kit import programs
from mcp_guard.kit.programs import Bubble, bubblewrap, find_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="commands are not for Windows")


def test_the_search_path_of_the_environment_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "cat"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_program("cat")
    assert found is not None
    assert found.parent != tmp_path
    (tmp_path / "only-here").symlink_to(fake)
    assert find_program("only-here") is None


@pytest.mark.holds("command:sandbox")
def test_a_sandbox_that_does_not_work_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Installed is not enough: kernels can forbid what it needs."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    for found in (broken, None):
        bubblewrap.cache_clear()
        monkeypatch.setattr(programs, "find_program", lambda _, found=found: found)
        assert bubblewrap() is None
    bubblewrap.cache_clear()


@pytest.mark.skipif(bubblewrap() is None, reason="no working bubblewrap (`bwrap`) on this machine")
def test_a_program_outside_the_system_is_shown_too(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('#!/bin/sh\necho "$@"; ls "$(dirname "$0")"\n')
    script.chmod(0o755)
    (tmp_path / "beside").touch()
    bubble = Bubble(network=False, directories=(), start="/")
    done = subprocess.run(bubble.around(str(script), "a b", "$(id)"), capture_output=True, text=True, check=True)
    assert done.stdout == "a b $(id)\nscript\n"
