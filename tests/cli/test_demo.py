"""`mcp-guard demo`: the whole story happens, on real parts."""

import json
import subprocess
import sys

import pytest

from mcp_guard.cli.root import run
from mcp_guard.demo.story import StepFailed
from tests.cli.conftest import Guard


@pytest.mark.holds("cli:demo")
def test_every_step_happens() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mcp_guard", "--json", "demo"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    story = json.loads(done.stdout)
    assert story["ok"] is True
    assert story["steps"] == sum(len(scene["steps"]) for scene in story["scenes"]) >= 14
    titles = [scene["title"] for scene in story["scenes"]]
    assert titles[0].startswith("A support desk")
    assert titles[-1] == "Somebody edits one stored record"


@pytest.mark.holds("cli:demo")
def test_a_step_that_does_not_happen_is_the_end(run_here: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(stage: object) -> None:
        raise StepFailed("expected: a refund; saw: nothing")

    monkeypatch.setattr("mcp_guard.demo.story.play", play)
    ran = run_here("--json", "demo")
    assert (ran.status, ran.error["code"]) == (1, "demo_failed")
    assert run(["demo"]) == 1


def test_for_people_it_happens_on_the_terminal(run_here: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcp_guard.demo.stage import Stage

    def play(stage: Stage) -> None:
        stage.scene("A title", "what it is about")
        stage.done("it happened")
        stage.table(("a", "b"), [(1, None)])

    monkeypatch.setattr("mcp_guard.demo.story.play", play)
    ran = run_here("demo")
    assert ran.status == 0
    assert "1. A title" in ran.out
    assert "✓ it happened" in ran.out
    assert "all 1 steps happened" in ran.out
