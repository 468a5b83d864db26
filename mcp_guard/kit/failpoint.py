"""Named points where the crash harness kills the process: `MCP_GUARD_FAILPOINT=name[:n]` dies at the n-th passage."""

import os
import signal
import sys

_WANTED, _, _COUNT = os.environ.get("MCP_GUARD_FAILPOINT", "").partition(":")
_passages_left = int(_COUNT) if _COUNT.isdigit() else 1


def failpoint(name: str) -> None:
    """Die here, without any clean-up, if the environment asks for it."""
    if _WANTED and name == _WANTED:
        _die()


def _die() -> None:
    global _passages_left  # noqa: PLW0603 - a process-wide countdown is what the harness asks for
    _passages_left -= 1
    if _passages_left == 0:
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
