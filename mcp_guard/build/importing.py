"""Wiring of what proposes manifests for descriptions of services."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mcp_guard.config.home import Home
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.admin.importing import Proposal


def propose_import(home: Home, file: Path, prefix: str, include: Mapping[str, Sequence[str]]) -> "Proposal":
    """A manifest for a description in the home. Raises `UsageError`, `Invalid`."""
    from pydantic import ValidationError

    from mcp_guard.admin.importing import propose

    path, root = file.absolute().resolve(), home.directory.resolve()
    if not path.is_relative_to(root):
        raise UsageError(
            "The description is not in the home.", hint="copy it there: it is read whenever the home loads"
        )
    try:
        return propose(home.directory, home.reserved, path.relative_to(root).as_posix(), prefix, include)
    except ValidationError:
        hint = "a prefix is a short name of lower-case letters and digits; methods are get, put, post, …"
        raise UsageError("This prefix or a filter cannot be used.", hint=hint) from None


def write_manifest(home: Home, prefix: str, text: str) -> str:
    """Write a manifest where the home finds it, and say where that is. Raises `UsageError`."""
    for pattern in home.settings.tools:
        parts = PurePosixPath(pattern)
        path = parts.with_name(f"{prefix}{parts.suffix}")
        if "*" in parts.name and not set(str(parts.parent)) & set("*?[") and path.match(pattern):
            try:
                with (home.directory / path).open("x", encoding="utf-8") as file:
                    file.write(text)
            except FileExistsError:
                hint = "print it without --write, and put it where it belongs"
                raise UsageError(f"{path} is there already.", hint=hint) from None
            return str(path)
    hint = "print it without --write, and put it where it belongs"
    raise UsageError("No pattern under `tools` of mcp-guard.yaml would find a new file.", hint=hint)
