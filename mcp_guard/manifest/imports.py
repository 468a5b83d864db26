"""Tools from a description of a service (OpenAPI): from what was locked, narrowed and judged by what the manifest says.

They are `http` tools like those somebody wrote by hand, and everything that holds for these holds for them. The
description decides nothing: an operation is here if `include` names it and it was locked as the description still has
it; it acts `once` unless somebody here says otherwise, and which credential it gets is said here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mcp_guard.kit import strict_json
from mcp_guard.kit.nesting import is_deeper
from mcp_guard.manifest import suggest
from mcp_guard.manifest.compile import Surroundings, compile_tool
from mcp_guard.manifest.document import ImportEntry, Override, ToolEntry
from mcp_guard.manifest.fingerprint import fingerprint
from mcp_guard.manifest.home import file_in_home
from mcp_guard.manifest.http import check_address, check_fixed_headers
from mcp_guard.manifest.import_headers import check_headers, credentials, without
from mcp_guard.manifest.lock import Imported, Lock, ToolDefinition
from mcp_guard.manifest.openapi.document import Api, Source
from mcp_guard.manifest.openapi.operations import operations
from mcp_guard.manifest.others import NOT_IN_NAMES, Mirrored, explain, is_strange, matches
from mcp_guard.manifest.report import Report
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem
from mcp_guard.model.tool import QuarantinedSpec, Tool

Operations = Mapping[str, ToolDefinition]

_DEEPEST = 56  # a lock nests definitions a little deeper, and is read with a bound of 64


@dataclass(frozen=True, slots=True)
class DeclaredImport:
    """A description as a manifest names it, with what it takes to judge its operations."""

    entry: ImportEntry
    around: Surroundings
    report: Report

    @property
    def name(self) -> str:
        return self.entry.prefix

    @property
    def path(self) -> Path | None:
        """The description; `None`, and a problem in the report, where it may not be named."""
        return file_in_home(self.entry.openapi, self.around.home, self.around.reserved, self.report.at("openapi"))

    def check(self) -> None:
        """What is wrong with the entry itself goes to the report."""
        _check(self.entry, self.report)
        _ = self.path

    def source(self) -> Source:
        """The description as it is now. Raises `Invalid`."""
        path = self.path
        if path is None:
            raise Invalid(self.report.problems)
        return Source.read(path, self.entry.openapi)

    def allows(self, operation: str, found: ToolDefinition) -> bool:
        return is_included(self.entry, operation, found)

    def objections(self, operation: str, found: ToolDefinition) -> list[str]:
        """Why an operation cannot be let in as it is; empty where it can."""
        if is_deeper(strict_json.dumps(dict(found)), _DEEPEST):
            return ["its schemas are nested too deep"]
        here = Report(self.report.document, [], self.report.where)
        _Importer(self.entry, self.around).tool(operation, found, here)
        return [problem.message for problem in here.problems if problem.severity == "error"]


def described(source: Source) -> Operations:
    """The operations of a description. Raises `Invalid`.

    Two that would be the same tool are both unusable: which of them a rule means must not depend on their order.
    """
    found = operations(Api.of(source))
    names: dict[str, list[str]] = {}
    for name in found:
        names.setdefault(NOT_IN_NAMES.sub("_", name).casefold(), []).append(name)
    for same in (one for one in names.values() if len(one) > 1):
        for name in same:
            kept = {key: found[name][key] for key in ("method", "path", "tags")}
            found[name] = {**kept, "unusable": "another operation would be the same tool"}
    return found


def compile_import(entry: ImportEntry, around: Surroundings, locked: Lock, report: Report) -> list[Mirrored]:
    """The tools of a description; problems go to the report."""
    declared = DeclaredImport(entry, around, report)
    _check(entry, report)
    pinned = locked.imported(entry.prefix)
    chosen = {name: one for name, one in sorted(pinned.operations.items()) if is_included(entry, name, one)}
    if not chosen:
        message = "none of its operations is served, because none that is included here is locked"
        report.warning("not_locked", message, "`mcp-guard tools lock` reads them and writes tools.lock")
    for name in sorted(set(entry.overrides) - set(chosen)):
        place = report.at("overrides", name)
        place.warning("unknown_tool", "no operation of this name is served", suggest.hint(name, chosen))
    now = _changed(declared, pinned, report)
    here = Report(report.document, [], report.where)
    found = []
    for name, one in chosen.items():
        made = _Importer(entry, around).tool(name, one, here)
        found.append(
            made if now is None or now.get(name) == one else _set_aside(made, around.home, name in now, report)
        )
    report.problems.extend(_each_once(here))
    return found


def tool_name(prefix: str, operation: str) -> str:
    return f"{prefix}_{NOT_IN_NAMES.sub('_', operation)}"


def is_included(entry: ImportEntry, operation: str, found: ToolDefinition) -> bool:
    """Whether a manifest includes an operation, by its own name."""
    wanted, tags = entry.include, found.get("tags")
    named = wanted.operations is None or any(matches(glob, operation) for glob in wanted.operations)
    by_method = wanted.methods is None or str(found.get("method")).lower() in wanted.methods
    own = [str(tag) for tag in tags] if isinstance(tags, Sequence) else []
    tagged = wanted.tags is None or any(matches(glob, tag) for glob in wanted.tags for tag in own)
    return named and by_method and tagged


def _check(entry: ImportEntry, report: Report) -> None:
    wanted = entry.include
    if wanted.operations is None and wanted.methods is None and wanted.tags is None:
        report.at("include").error("value", "nothing is included", 'write operations: ["*"] for all of them')
    check_fixed_headers(entry.headers, report.at("headers"))
    if entry.server is not None:
        check_address(entry.server, report.at("server"))


def _changed(declared: DeclaredImport, pinned: Imported, report: Report) -> Operations | None:
    """What the description says now, where it is not the one that was locked; `None` where it is, or where nothing
    depends on it. The file is read, and understood only when it changed."""
    path = declared.path
    if path is None:
        return None
    try:
        source = Source.read(path, declared.entry.openapi)
        return described(source) if pinned.operations and source.digest != pinned.document else None
    except Invalid as error:
        report.problems.extend(error.problems)
        return None


def _set_aside(made: Mirrored, home: Path, is_there: bool, report: Report) -> Mirrored:
    """A tool whose operation is not any more what was let in: shown as it was, and not called."""
    if made.tool is None:
        return made
    reason = "it is not described as it was when it was let in" if is_there else "it is not described any more"
    hint = "`mcp-guard tools diff` shows what changed, `mcp-guard tools lock` takes it as it is now"
    report.warning("quarantined", f"{made.name} is not called: {reason}", hint)
    tool = replace(made.tool, connector=QuarantinedSpec("quarantined", reason))
    return Mirrored(made.name, replace(tool, fingerprint=fingerprint(tool, home)))


def _each_once(report: Report) -> Iterator[Problem]:
    """A warning about the service is one about all its tools."""
    seen = set[tuple[str, str, str]]()
    for problem in report.problems:
        what = (problem.severity, problem.code, problem.message.partition(": ")[2])
        if problem.severity == "error" or what not in seen:
            seen.add(what)
            yield problem


@dataclass(frozen=True, slots=True)
class _Importer:
    """Makes tools of what a description said of operations."""

    entry: ImportEntry
    around: Surroundings

    def tool(self, name: str, found: ToolDefinition, report: Report) -> Mirrored:
        here = tool_name(self.entry.prefix, name)
        place = report.at("overrides", name) if name in self.entry.overrides else report
        own = Report(place.document, [], place.where)
        tool = self._compiled(here, name, found, own)
        report.problems.extend(replace(problem, message=f"{here}: {problem.message}") for problem in own.problems)
        return Mirrored(here, tool)

    def _compiled(self, here: str, name: str, found: ToolDefinition, report: Report) -> Tool | None:
        if "unusable" in found:
            report.error("definition", str(found["unusable"]), "leave it out, or correct the description")
            return None
        if is_strange(found, report):
            return None
        if found.get("files") and self.entry.uploads is None:
            hint = "say uploads: {within: DIRECTORY}, the only place of files that are sent, or leave it out"
            report.error("uploads", "it sends files, and nothing says from where (uploads)", hint)
            return None
        try:
            fixed = {**credentials(self.entry, found, report), **self.entry.headers}
            written = self._entry(here, without(found, fixed), fixed, self.entry.overrides.get(name, Override()))
        except ValidationError as error:
            explain(error, report)
            return None
        except (KeyError, TypeError, ValueError, AttributeError):
            report.error("definition", "it is not what a lock holds", "make it again with `mcp-guard tools lock`")
            return None
        check_headers(written, fixed, report)
        return self._tool(written, report)

    def _tool(self, written: ToolEntry, report: Report) -> Tool | None:
        """The tool; without a promise about its result where only that cannot be enforced."""
        whole, less = (Report(report.document, [], report.where) for _ in range(2))
        tool = compile_tool(written, self.around, whole, ours=False)
        if tool is None and written.outputSchema is not None:
            bare = compile_tool(written.model_copy(update={"outputSchema": None}), self.around, less, ours=False)
            if bare is not None:
                less.warning("open_result", "its result is not checked, because its schema cannot be enforced")
                tool, whole = bare, less
        report.problems.extend(whole.problems)
        return None if any(problem.severity == "error" for problem in report.problems) else tool

    def _parts(self, found: Mapping[str, Any]) -> dict[str, object]:
        """The parts of a form. Those that are files come from the one directory the manifest names."""
        files, uploads = found.get("files", {}), self.entry.uploads
        return {
            name: text
            if name not in files or uploads is None
            else {"path": text, "content_type": files[name], **uploads.model_dump()}
            for name, text in found["multipart"].items()
        }

    def _entry(self, here: str, found: Mapping[str, Any], fixed: Mapping[str, str], override: Override) -> ToolEntry:
        """A definition in the form of a manifest. Raises `ValidationError`, and others for what no lock holds."""
        server = self.entry.server or str(found["server"])
        http: dict[str, Any] = {
            "method": found["method"],
            "url": server.rstrip("/") + found["path"],
            "headers": {**found["headers"], **fixed},
            "query": found["query"],
            "egress": self.entry.egress,
            "max_output": self.entry.max_output,
            **{key: found[key] for key in ("json", "form") if key in found},
            **({"multipart": self._parts(found)} if "multipart" in found else {}),
        }
        effects = self.entry.effects.get(found["method"].lower())
        body: dict[str, Any] = {
            "name": here,
            "title": found.get("title"),
            "description": found["description"],
            "annotations": found["annotations"],
            "inputSchema": found["inputSchema"],
            "outputSchema": found.get("outputSchema") if self.entry.results == "described" else None,
            "http": http,
            **({"effects": effects} if effects is not None else {}),
        }
        said = override.model_dump(exclude_unset=True, by_alias=True)
        return ToolEntry.model_validate(body | {key: value for key, value in said.items() if value is not None})
