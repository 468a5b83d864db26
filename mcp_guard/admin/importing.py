"""A manifest to start with, for a description of a service."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcp_guard.kit.text import visible
from mcp_guard.kit.yaml import Document
from mcp_guard.manifest.compile import Surroundings
from mcp_guard.manifest.document import Defaults, ImportEntry
from mcp_guard.manifest.home import HomeFiles
from mcp_guard.manifest.imports import DeclaredImport, described, tool_name
from mcp_guard.manifest.lock import ToolDefinition
from mcp_guard.manifest.report import Report
from mcp_guard.model.errors import Invalid

_ANYWHERE = "https://api.example"
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An operation that is included: its tool, or why it cannot be one."""

    operation: str
    tool: str
    method: str
    path: str
    why: str

    def as_dict(self) -> dict[str, object]:
        shown: dict[str, object] = {"operation": self.operation, "tool": self.tool, "method": self.method}
        return {**shown, "path": self.path, "usable": not self.why} | ({"why": self.why} if self.why else {})


@dataclass(frozen=True, slots=True)
class Proposal:
    """A manifest, and what would become of the operations it includes."""

    manifest: str
    candidates: Sequence[Candidate]


def propose(home: Path, reserved: HomeFiles, file: str, prefix: str, include: Mapping[str, Sequence[str]]) -> Proposal:
    """The manifest that imports a file of the home. Raises `Invalid`."""
    body: dict[str, object] = {"openapi": file, "prefix": prefix, "include": {k: list(v) for k, v in include.items()}}
    entry = ImportEntry.model_validate(body)
    report = Report(Document(file, None, {}), [])
    declared = DeclaredImport(entry, Surroundings(Defaults(), None, home, reserved), report)
    found = described(declared.source())
    chosen = {name: one for name, one in sorted(found.items()) if declared.allows(name, one)}
    if not _addresses(chosen) or any("{" in text or "://" not in text for text in _addresses(chosen)):
        body["server"] = _ANYWHERE
    if schemes := sorted(set(_schemes(chosen))):
        body["security"] = dict.fromkeys(schemes, f"${{secret:{prefix}}}")
    judged = DeclaredImport(ImportEntry.model_validate(body), declared.around, report)
    candidates = [
        Candidate(
            name,
            tool_name(prefix, name),
            str(one["method"]),
            str(one["path"]),
            "; ".join(_objections(judged, name, one)),
        )
        for name, one in chosen.items()
    ]
    if not candidates:
        raise Invalid([report.document.problem("", "openapi", "none of its operations is included", "say others")])
    return Proposal("\n".join(_manifest(body, candidates)) + "\n", candidates)


def _objections(judged: DeclaredImport, name: str, found: ToolDefinition) -> list[str]:
    start = f"{tool_name(judged.name, name)}: "
    return [text.removeprefix(start) for text in judged.objections(name, found)]


def _addresses(chosen: Mapping[str, ToolDefinition]) -> set[str]:
    return {str(one["server"]) for one in chosen.values() if "server" in one}


def _schemes(chosen: Mapping[str, ToolDefinition]) -> Iterator[str]:
    """The security schemes that take a credential."""
    for one in chosen.values():
        alternatives = one.get("security")
        for alternative in alternatives if isinstance(alternatives, list) else ():
            yield from (name for name, way in alternative.items() if "header" in way and _PLAIN.fullmatch(name))


def _manifest(body: Mapping[str, object], candidates: Sequence[Candidate]) -> Iterator[str]:
    """JSON is YAML, so what a description says is quoted like JSON."""
    yield "apiVersion: mcp-guard/v1"
    yield "kind: Tools"
    yield f"toolset: {body['prefix']}"
    yield "imports:"
    yield f"  - openapi: {json.dumps(body['openapi'], ensure_ascii=False)}"
    yield f"    prefix: {body['prefix']}"
    yield f"    include: {json.dumps(body['include'], ensure_ascii=False)}"
    if "server" in body:
        yield f"    server: {json.dumps(body['server'])}  # say it: the description has none that can be used"
    if "security" in body:
        yield f"    security: {json.dumps(body['security'])}"
    yield "    # effects: {get: none}  # say so where it is true: every tool acts `once` until somebody does"
    for one in candidates:
        yield "    # " + (f"not usable: {visible(one.operation)} ({visible(one.why)})" if one.why else one.tool)
