"""Looks for a secret where none may be."""

from pathlib import Path

from mcp_guard.secrets.forms import forms


def holding(directory: Path, secret: str) -> set[Path]:
    """The files that hold a secret, in any of its usual encodings."""
    wanted = [form.encode("utf-8", "surrogatepass") for form in forms(secret)]
    return {path for path in directory.rglob("*") if path.is_file() and _holds(path, wanted)}


def _holds(path: Path, wanted: list[bytes]) -> bool:
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # a process that ended a moment ago took its own files along
        return False
    return any(form in data for form in wanted)
