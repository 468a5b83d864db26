"""`python -m tests.policy.fuzz [SECONDS]`: random policies and questions against both oracles for as long as asked.

Prints how much was asked; a difference is printed as the smallest policy and question that shows it, and exits 1.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from mcp_guard.model.decision import AccessRequest
from tests.policy.conftest import Files
from tests.policy.oracles import Oracles, Tally
from tests.policy.strategies import policies, requests

PER_ROUND = 300


def main(seconds: float) -> int:
    """Ask until the time is over. Returns the exit code."""
    tally, rounds, end = Tally(), 0, time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder))
        while time.monotonic() < end:
            rounds += 1
            number = SystemRandom().getrandbits(64)
            try:
                _round(files, tally, number)
            except AssertionError as error:
                _say(f"seed {number}: a difference", str(error), *getattr(error, "__notes__", []))
                return 1
    asked = f"{tally.interpreter} questions, {tally.stock} of them also to stock Casbin"
    _say(f"{rounds * PER_ROUND} policies, {asked}: no difference")
    return 0


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


def _round(files: Files, tally: Tally, number: int) -> None:
    @seed(number)
    @given(policies, st.lists(requests, min_size=1, max_size=12))
    @settings(
        deadline=None,
        max_examples=PER_ROUND,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    def agrees(text: str, questions: Sequence[AccessRequest]) -> None:
        oracles = Oracles(files.read(text), text, tally)
        for question in questions:
            oracles.ask(question)

    agrees()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60))
