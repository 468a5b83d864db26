"""Headers of imported operations: credentials, what a manifest says, and what an agent never does."""

from collections.abc import Mapping, Sequence
from typing import Any

from mcp_guard.kit.text import visible
from mcp_guard.manifest.document import ImportEntry, ToolEntry
from mcp_guard.manifest.lock import ToolDefinition
from mcp_guard.manifest.report import Report

# Who asks, for whom, and what a request is, is never an agent's to say. (`http` refuses the connector's own headers.)
_NOT_FOR_AGENTS = frozenset(
    {"authorization", "cookie", "forwarded", "x-real-ip", "traceparent", "x-http-method", "x-http-method-override"}
    | {"x-method-override", "x-original-url", "x-rewrite-url", "x-original-host", "x-host"}
)
_NEITHER = ("x-forwarded-", "proxy-", "sec-")


def credentials(entry: ImportEntry, found: ToolDefinition, report: Report) -> dict[str, str]:
    """The headers of the first alternative that the manifest has all credentials for; where there is none, and one is
    needed, a problem. Raises `TypeError`, `KeyError`, `AttributeError` for what no lock holds."""
    written = found.get("security")
    wanted: list[Mapping[str, Mapping[str, str]]] = list(written) if isinstance(written, list) else []
    given = {name.lower() for name in entry.headers}
    for one in wanted:
        ways = {name: way for name, way in one.items() if way.get("header", "").lower() not in given}
        if one and all("header" in way and name in entry.security for name, way in ways.items()):
            headers = {way["header"]: way["prefix"] + entry.security[name] for name, way in ways.items()}
            if len(headers) == len(ways):
                return headers
    if wanted and not any(one == {} for one in wanted):
        _explain_security(wanted, entry, report)
    return {}


def _explain_security(wanted: Sequence[Mapping[str, Mapping[str, str]]], entry: ImportEntry, report: Report) -> None:
    names = sorted({visible(name) for one in wanted for name in one})
    refused = [f"{visible(name)}: {way['refused']}" for one in wanted for name, way in one.items() if "refused" in way]
    why = f" ({'; '.join(sorted(set(refused)))})" if refused else ""
    hint = f'say security: {{{names[0]}: "${{secret:{entry.prefix}}}"}}, or send a header of your own with headers:'
    report.at("security").error("security", f"it needs a credential for {' or '.join(names)}{why}", hint)


def without(found: ToolDefinition, fixed: Mapping[str, str]) -> Mapping[str, Any]:
    """A definition without the arguments for headers that are said here."""
    here = {name.lower() for name in fixed}
    headers: Mapping[str, str] = found["headers"]  # type: ignore[assignment]  # as `openapi.operations` made it
    gone = {text.strip("{}") for name, text in headers.items() if name.lower() in here}
    if not gone:
        return found
    schema: Mapping[str, Any] = found["inputSchema"]  # type: ignore[assignment]
    narrowed = {
        **schema,
        "properties": {name: child for name, child in schema["properties"].items() if name not in gone},
        "required": [name for name in schema["required"] if name not in gone],
    }
    left = {name: text for name, text in headers.items() if name.lower() not in here}
    return {**found, "headers": left, "inputSchema": narrowed}


def check_headers(written: ToolEntry, fixed: Mapping[str, str], report: Report) -> None:
    """Report arguments in headers that no agent may choose. `fixed` are said by the manifest."""
    assert written.http is not None
    for name in sorted(set(written.http.headers) - set(fixed)):
        low = name.lower()
        if low in _NOT_FOR_AGENTS or low.startswith(_NEITHER):
            hint = "say it under headers:, so that no argument takes its place, or leave the operation out"
            report.at("headers").error("header", f"an agent does not choose the header {low}", hint)
