"""Which files of a home are watched, and what they look like: enough to tell that somebody wrote to one of them."""

import os
from collections.abc import Iterator
from pathlib import Path

from mcp_guard.build.definition import policy_files, test_files
from mcp_guard.config.home import CONFIG_FILE, Home
from mcp_guard.manifest.lock import LOCK_FILE

Stamp = frozenset[tuple[str, int, int, int]]
"""Path, size, inode and time of the last change (ns) of every file that is there."""


def stamp_of(home: Home) -> Stamp:
    """The look of everything a definition is read from."""
    return frozenset(_looks(path for path in _files(home)))


def _files(home: Home) -> Iterator[Path]:
    from mcp_guard.manifest.load import documents, find

    yield home.directory / CONFIG_FILE
    yield from policy_files(home)
    yield home.path(home.settings.policy.principals)
    yield from test_files(home)
    manifests, _ = find(home.directory, home.settings.tools)
    yield from manifests
    yield from documents(home.directory, manifests)
    yield home.path(LOCK_FILE)


def _looks(paths: Iterator[Path]) -> Iterator[tuple[str, int, int, int]]:
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            continue  # a file that is gone is a change too: it is missing from the stamp
        yield str(path), found.st_size, found.st_ino, found.st_mtime_ns
