"""What an approval, a lock file and an audit record mean by «this tool»."""

from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from mcp_guard.kit import strict_json
from mcp_guard.model.tool import CommandSpec, PostgresSpec, PythonSpec, SqlSpec, Tool


def fingerprint(tool: Tool, home: Path) -> str:
    """The sha256 (hex) of the canonical JSON of everything that decides what executes and how it is shown.

    Files are named from the home, so that moving or cloning a home changes nothing.
    """
    return sha256(strict_json.dumps(_canonical(tool, home))).hexdigest()


def _canonical(tool: Tool, home: Path) -> dict[str, object]:
    body: dict[str, object] = {key: _plain(value) for key, value in asdict(tool).items() if key != "fingerprint"}
    for key in ("long_running", "probe", "cost", "limits"):
        if not getattr(tool, key):
            del body[key]  # tools that were there before this could be said are what they were
    connector, root = tool.connector, home.resolve()
    if isinstance(connector, SqlSpec):
        body["connector"] = {**asdict(connector), "path": Path(connector.path).relative_to(root).as_posix()}
    elif isinstance(connector, CommandSpec):
        named = {
            "program": _named(connector.program, root),
            "cwd": connector.cwd and _named(connector.cwd, root),
            "within": {name: _named(path, root) for name, path in connector.within},
        }
        body["connector"] = {key: _plain(value) for key, value in {**asdict(connector), **named}.items()}
    elif isinstance(connector, PostgresSpec):
        ca = connector.ca and _named(connector.ca, root)
        body["connector"] = {**asdict(connector), "parameters": list(connector.parameters), "ca": ca}
    elif isinstance(connector, PythonSpec):
        body["connector"] = _function(connector, root)
    return body


def _function(connector: PythonSpec, root: Path) -> dict[str, object]:
    """What is not said is left out, so that functions that were there before it could be said are what they were."""
    found: dict[str, object] = {"kind": connector.kind, "function": connector.function}
    if connector.built:
        found["built"] = list(connector.built)
    if connector.worker is not None:
        cwd = connector.worker.cwd and _named(connector.worker.cwd, root)
        found["worker"] = {key: _plain(value) for key, value in {**asdict(connector.worker), "cwd": cwd}.items()}
    return found


def _named(path: str, root: Path) -> str:
    """A path from the home (`./…`) where it is inside, else absolute."""
    return f"./{Path(path).relative_to(root).as_posix()}" if Path(path).is_relative_to(root) else path


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(child) for child in value]
    return value
