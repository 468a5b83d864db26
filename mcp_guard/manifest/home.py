"""The files of a home that no tool may touch, and what a tool may name instead."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from mcp_guard.manifest.report import Report

REACHES = (
    "a tool could reach the guard's own files here",
    "keep the data of tools apart from policy, manifests, keys and store",
)
"""What is said of it, and the hint."""


@dataclass(frozen=True, slots=True)
class HomeFiles:
    """What belongs to the guard: single files, whole directories, and the store with everything named after it.

    Paths are absolute. The store's companions (`-wal`, `-shm`, `-journal`, locks) are reserved with it.
    """

    files: frozenset[Path] = field(default=frozenset())
    trees: frozenset[Path] = field(default=frozenset())
    store: Path | None = None

    def holds(self, path: Path) -> bool:
        """Whether a path is one of these, however it is spelled: links, case and hard links are seen through."""
        real = _key(path)
        if any(real == _key(file) for file in self.files) or any(_inside(real, _key(tree)) for tree in self.trees):
            return True
        store = self.store
        if store is not None:
            key = _key(store)
            if real.parent == key.parent and (
                real.name == key.name or real.name.startswith((f"{key.name}-", f"{key.name}."))
            ):
                return True
        return os.path.lexists(path) and any(_same_file(path, file) for file in self._everything())

    def reaches(self, path: Path) -> bool:
        """Whether somebody who is let into a path gets at one of these: it is one, or a directory above one."""
        real = _key(path)
        return self.holds(path) or any(_inside(_key(own), real) for own in (*self.files, *self.trees, *self._stores()))

    def _stores(self) -> Iterable[Path]:
        if self.store is not None:
            yield self.store

    def _everything(self) -> Iterable[Path]:
        yield from self.files
        if self.store is not None:
            yield from (self.store.with_name(self.store.name + suffix) for suffix in ("", "-wal", "-shm", "-journal"))
        for tree in self.trees:
            if tree.is_dir():
                yield from (file for file in tree.rglob("*") if file.is_file())


def file_in_home(text: str, home: Path, reserved: HomeFiles, report: Report) -> Path | None:
    """The absolute path of a file a tool names; reports what may not be named."""
    written = PurePosixPath(text)
    foreign = PureWindowsPath(text)
    if not text or written.is_absolute() or foreign.drive or foreign.root or "\\" in text or ".." in written.parts:
        report.error("path", "expected a path inside the home", "write it relative to the home, without ..")
        return None
    root = home.resolve()
    path = (root / written).resolve()
    if not path.is_relative_to(root) or path == root:
        report.error(
            "path", "the path leads out of the home", "a link on the way points elsewhere; name the file itself"
        )
        return None
    if reserved.holds(path):
        report.error("reaches_home", *REACHES)
        return None
    return path


def directory(text: str, home: Path, reserved: HomeFiles, report: Report) -> Path | None:
    """The real path of a directory a tool is given, written from the home or absolute; reports what is none, and what
    lets the tool at the guard's own files."""
    path = Path(os.path.realpath(home / text))
    if "\0" in text or not path.is_dir():
        report.error("path", "expected a directory that is there", "make it first; it is written from the home")
        return None
    if reserved.reaches(path):
        report.error("reaches_home", *REACHES)
        return None
    return path


def _key(path: Path) -> Path:
    """One spelling per file: links resolved, and case folded because some file systems do."""
    return Path(str(path.resolve()).casefold())


def _inside(path: Path, tree: Path) -> bool:
    return path == tree or tree in path.parents


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False  # one of them is not there, so they are not the same
