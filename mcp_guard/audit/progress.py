"""A progress bar in one line of a terminal, and none elsewhere.

Standard library only, and nothing of ours: these lines are also part of the stand-alone verifier.
"""

from collections.abc import Callable
from typing import TextIO

_WIDTH = 40


def bar(total: int, terminal: TextIO) -> Callable[[int], None] | None:
    """Draws how much is done of `total`, told in steps; wiped when all is. `None` where this is no terminal."""
    if not terminal.isatty() or total <= 0:
        return None
    done = 0

    def draw(more: int) -> None:
        nonlocal done
        done = min(total, done + more)
        filled = done * _WIDTH // total
        line = f"\r[{'#' * filled}{'.' * (_WIDTH - filled)}] {done * 100 // total:3d} %"
        terminal.write(line if done < total else "\r" + " " * len(line) + "\r")
        terminal.flush()

    return draw
