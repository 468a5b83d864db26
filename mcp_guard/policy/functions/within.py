"""`within(path, root)`: lexical containment of an absolute path in a root directory."""

import re
from collections.abc import Callable

MAX_PATH = 32_768

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_REFUSED = re.compile(r"[\x00-\x1f\x7f]|%(?:2[eEfF]|5[cC]|00)")
_ONLY_DOTS = re.compile(r"[. ]+")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")

# Flavour, then the parts below the file system's root: posix, a drive, or a share.
Parts = tuple[str, ...]


def within(path: object, root: object) -> bool:
    """Whether an absolute `path` is `root` or lies below it, judged by its text alone.

    POSIX (`/srv/x`), drive (`C:/x`, `C:\\x`) and share (`//host/share/x`) paths are understood; a path lies only in a
    root of its own kind. Drive and share paths compare without regard to ASCII case. False for relative paths, for
    `..` and its disguises (dots and blanks, `%2e`, `%2f`, `%5c`), control characters, a backslash in a POSIX path and
    a colon below a drive. Symbolic links are not seen: the tool must not follow links out of its root.
    """
    if type(root) is not str:
        raise TypeError("within wants texts")
    return bind_within(root)(path)


def bind_within(root: str) -> Callable[[object], bool]:
    """`within` for a fixed root. Raises `ValueError` where the root is not an absolute path without `..`."""
    base = _parts(root)
    if base is None:
        raise ValueError("the root is an absolute path without `..`, such as /srv/projects or C:/data")
    depth = len(base)

    def contains(path: object) -> bool:
        if type(path) is not str:
            raise TypeError("within wants texts")
        parts = _parts(path)
        return parts is not None and parts[:depth] == base

    return contains


def _parts(path: str) -> Parts | None:
    """The comparable parts of an absolute path, or `None` where it is not one that can be judged."""
    if len(path) > MAX_PATH or _REFUSED.search(path):
        return None
    if _DRIVE.match(path):
        return None if ":" in path[2:] else _below("drive", path.translate(_LOWER).replace("\\", "/"))
    if path.startswith(("//", "\\\\")):
        share = _below("share", path.translate(_LOWER).replace("\\", "/"))
        return share if share is not None and len(share) > 2 else None
    if path.startswith("/") and "\\" not in path:
        return _below("posix", path)
    return None


def _below(flavour: str, path: str) -> Parts | None:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if any(_ONLY_DOTS.fullmatch(part) for part in parts):
        return None
    return (flavour, *parts)
