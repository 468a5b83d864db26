"""What an approval, a lock file and an audit record mean by «this tool»."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_guard.kit import strict_json
from mcp_guard.model.tool import (
    LATER,
    CommandSpec,
    ConnectorSpec,
    FileSpec,
    HttpSpec,
    PostgresSpec,
    PythonSpec,
    SqlSpec,
    Tool,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def fingerprint(tool: Tool, home: Path) -> str:
    """The sha256 (hex) of the canonical JSON of everything that decides what executes and how it is shown.

    Files are named from the home, so that moving or cloning a home changes nothing.
    """
    return sha256(strict_json.dumps(_canonical(tool, home))).hexdigest()


def _canonical(tool: Tool, home: Path) -> dict[str, object]:
    connector, root = tool.connector, home.resolve()
    body = {**_said(tool), "connector": {**_said(connector), **_in_home(connector, root)}}
    del body["fingerprint"]
    return body


def _said(value: "DataclassInstance") -> dict[str, object]:
    """The fields of a value. What could not be said at first counts only where it is said: tools that were there before
    are what they were."""
    found = ((field, getattr(value, field.name)) for field in fields(value))
    return {field.name: _plain(part) for field, part in found if part or field.metadata != LATER}


def _in_home(connector: ConnectorSpec, root: Path) -> dict[str, object]:
    """The fields of a connector that name files, as they are named from the home."""
    if isinstance(connector, SqlSpec):
        return {"path": Path(connector.path).relative_to(root).as_posix()}
    if isinstance(connector, CommandSpec):
        return {
            "program": _named(connector.program, root),
            "cwd": connector.cwd and _named(connector.cwd, root),
            "within": {name: _named(path, root) for name, path in connector.within},
        }
    if isinstance(connector, HttpSpec):
        return _of_request(connector, root)
    if isinstance(connector, PostgresSpec):
        return {"ca": connector.ca and _named(connector.ca, root)}
    if isinstance(connector, PythonSpec) and connector.worker is not None:
        cwd = connector.worker.cwd and _named(connector.worker.cwd, root)
        return {"worker": {**_said(connector.worker), "cwd": cwd}}
    return {}


def _of_request(spec: HttpSpec, root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    if spec.tls is not None:
        found["tls"] = {name: text and _named(str(text), root) for name, text in _said(spec.tls).items()}
    if spec.file is not None:
        found["file"] = _sent(spec.file, root)
    if spec.multipart:
        found["multipart"] = [
            [name, part if isinstance(part, str) else _sent(part, root)] for name, part in spec.multipart
        ]
    return found


def _sent(file: FileSpec, root: Path) -> dict[str, object]:
    return {**_said(file), "within": _named(file.within, root)}


def _named(path: str, root: Path) -> str:
    """A path from the home (`./…`) where it is inside, else absolute."""
    return f"./{Path(path).relative_to(root).as_posix()}" if Path(path).is_relative_to(root) else path


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return _said(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(child) for child in value]
    return value
