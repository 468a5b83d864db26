"""A tool as it is served, whole, for whoever answers for it: everything that decides what executes, and no secret."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from mcp_guard.kit import references
from mcp_guard.manifest.written_secrets import looks_secret, names_a_secret
from mcp_guard.model.limit import Cost, Limit, shown
from mcp_guard.model.tool import McpSpec, Tool

WRITTEN_OUT = "(written out, not shown)"
"""What stands for a value that may be a secret and is no reference to one."""
_PAIRS = frozenset({"headers", "env", "variables"})
"""Fields whose values may hold secrets; references to them are shown as they are written."""


def effective(tool: Tool) -> dict[str, object]:
    """The compiled tool under the names of the model. Times are in seconds; empty parts are left out."""
    document: dict[str, object] = {
        "name": tool.name,
        "tags": list(tool.tags),
        "scopes": sorted(tool.scopes),
        "connector": tool.connector.kind,
        "fingerprint": tool.fingerprint,
        "title": tool.title,
        "description": tool.description,
        "annotations": dict(tool.annotations),
        "effects": tool.effects,
        "inputSchema": tool.input_schema,
        "outputSchema": tool.output_schema,
        "bind": dict(tool.bind),
        "sensitive": list(tool.sensitive),
        "timeout_s": tool.timeout,
        "retry": _said(tool.retry),
        "idempotency_header": tool.idempotency_header,
        "justification": tool.justification,
        "labels": list(tool.labels),
        "mode": tool.mode,
        "task": tool.becomes_task,
        "result": {"largest": tool.largest_answer, "keep": not tool.refuses_larger},
        "limits": [f"{limit.kind}={limit}" for limit in tool.limits],
        "cost": None if tool.cost is None else _cost(tool.cost),
        "probe": None if tool.probe is None else _said(tool.probe),
    }
    if isinstance(tool.connector, McpSpec):
        document["upstream"] = tool.connector.upstream.name
    return document | {tool.connector.kind: _said(tool.connector)}


def _cost(cost: Cost) -> dict[str, object]:
    found = {field.name: value for field in fields(cost) if (value := getattr(cost, field.name)) is not None}
    return {name: shown(value) if isinstance(value, int) else value for name, value in found.items()}


def _said(value: object) -> dict[str, object]:
    assert is_dataclass(value)
    found = ((field.name, getattr(value, field.name)) for field in fields(value) if field.name != "kind")
    return {name: _shown(name, part) for name, part in found if part not in (None, (), "")}


def _shown(name: str, value: object) -> object:
    if name in _PAIRS and isinstance(value, tuple):
        return {key: _guarded(key, text) for key, text in value}
    if isinstance(value, Limit):
        return str(value)
    if is_dataclass(value):
        return _said(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return {str(key): _shown(str(key), part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_shown("", part) for part in value]
    return WRITTEN_OUT if isinstance(value, str) and looks_secret(value) else value


def _guarded(name: str, text: object) -> object:
    """A header or variable. A name that usually holds a secret shows references only."""
    if not isinstance(text, str):
        return text
    hides = looks_secret(text) or (names_a_secret(name) and references.OPENING not in text)
    return WRITTEN_OUT if hides else text
