"""Reading every manifest of a home: all of them are good, or nothing is served."""

import glob
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mcp_guard.kit import bounded_file, pointer, yaml
from mcp_guard.manifest.home import HomeFiles
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.values import strings
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem
from mcp_guard.model.tool import Tool

if TYPE_CHECKING:
    from mcp_guard.manifest.catalog import Catalog
    from mcp_guard.manifest.compile import Surroundings
    from mcp_guard.manifest.complaint import Location
    from mcp_guard.manifest.document import File, ToolEntry
    from mcp_guard.manifest.imports import DeclaredImport
    from mcp_guard.manifest.lock import Lock
    from mcp_guard.manifest.others import Mirrored
    from mcp_guard.manifest.upstreams import Declared
    from mcp_guard.model.oauth import OAuthSpec


Bounded = Callable[[Mapping[str, Sequence[str]]], Collection[str]]


def load(home: Path, patterns: Sequence[str], *, reserved: HomeFiles) -> "Catalog":
    """The tools of the files that `patterns` (globs, relative to `home`) name.

    Raises `Invalid` with every error of every file; warnings alone do not stop it. Nothing is half-loaded.
    """
    catalog, problems = lint(home, patterns, reserved=reserved)
    if catalog is None:
        raise Invalid(problem for problem in problems if problem.severity == "error")
    return catalog


def lint(
    home: Path, patterns: Sequence[str], *, reserved: HomeFiles, bounded: Bounded | None = None
) -> "tuple[Catalog | None, list[Problem]]":
    """The catalog, or `None` where there are errors; and all problems, warnings included, by file and place.

    With `bounded`, which says of tags by tool which of them something else than their manifest bounds, the words and
    hints of tools are judged as well, once nothing is wrong (`manifest.advice`).
    """
    from mcp_guard.manifest.catalog import Catalog

    files, problems = find(home, patterns)
    locked = _locked(home, problems)
    tools: list[_Found] = []
    for path in files:
        tools += _read(path, home, reserved, locked, problems)
    problems += _duplicates(tools)
    problems += _two_accounts(tools)
    served = _linked(tools, home, problems)
    if bounded is not None and not any(problem.severity == "error" for problem in problems):
        _advise(tools, served, bounded, problems)
    problems.sort(key=lambda problem: (problem.file, problem.line, problem.column, problem.code))
    if any(problem.severity == "error" for problem in problems):
        return None, problems
    return Catalog(tool for tool in served if tool is not None), problems


def others(home: Path, patterns: Sequence[str], *, reserved: HomeFiles) -> "list[Declared | DeclaredImport]":
    """The other servers and the descriptions that the manifests name, whatever of them is locked. Raises `Invalid`
    where a file has errors."""
    from mcp_guard.manifest.compile import Surroundings
    from mcp_guard.manifest.imports import DeclaredImport
    from mcp_guard.manifest.upstreams import Declared

    files, problems = find(home, patterns)
    found: list[Declared | DeclaredImport] = []
    for path in files:
        report = Report(yaml.load(path, path.relative_to(home).as_posix()), problems)
        file, _ = _parse(report)
        around = Surroundings.of(file, home, reserved, report)
        found += [Declared(one, around, report.at("upstreams", n)) for n, one in enumerate(file.upstreams)]
        found += [DeclaredImport(one, around, report.at("imports", n)) for n, one in enumerate(file.imports)]
    for declared in found:
        declared.check()
    problems += _same_names(found)
    if any(problem.severity == "error" for problem in problems):
        raise Invalid(problem for problem in problems if problem.severity == "error")
    return found


def accounts(home: Path, patterns: Sequence[str], *, reserved: HomeFiles) -> "dict[str, OAuthSpec]":
    """What the manifests say of every upstream with accounts of people, by name, whatever of it is locked. Raises
    `Invalid` where a file has errors."""
    from mcp_guard.manifest.compile import Surroundings
    from mcp_guard.manifest.oauth import oauth_of_upstream

    files, problems = find(home, patterns)
    found: dict[str, OAuthSpec] = {}
    for path in files:
        report = Report(yaml.load(path, path.relative_to(home).as_posix()), problems)
        file, _ = _parse(report)
        services = Surroundings.of(file, home, reserved, report).services
        found |= {name: spec for name, spec in services.items() if spec is not None}
        for n, entry in enumerate(file.upstreams):
            oauth = oauth_of_upstream(entry, report.at("upstreams", n))
            found |= {} if oauth is None else {entry.name: oauth}
    if any(problem.severity == "error" for problem in problems):
        raise Invalid(problem for problem in problems if problem.severity == "error")
    return found


def documents(home: Path, manifests: Sequence[Path]) -> tuple[Path, ...]:
    """The descriptions that manifests name, as far as manifests can be read: what is read beside them."""
    return _documents(home, tuple((path, _look(path)) for path in manifests))


@lru_cache(maxsize=8)
def _documents(home: Path, manifests: tuple[tuple[Path, object], ...]) -> tuple[Path, ...]:
    found = set[Path]()
    for path, _ in manifests:
        with suppress(Invalid, OSError):
            data = bounded_file.read_bytes(path, yaml.MAX_BYTES)
            root = yaml.parse(data, path.name).value if b"openapi" in data else None
            texts = strings(root) if isinstance(root, dict) else ()
            names = [text for where, text in texts if (where[0], where[2:]) == ("imports", ("openapi",))]
            found |= {home / name for name in names if "\0" not in name}
    return tuple(sorted(found))


def _look(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_ino, found.st_mtime_ns


def find(home: Path, patterns: Sequence[str]) -> tuple[list[Path], list[Problem]]:
    """The files the patterns name, sorted, each once; and what is wrong with the patterns."""
    files: set[Path] = set()
    problems: list[Problem] = []
    for pattern in patterns:
        if not pattern or PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            problems.append(
                Problem("pattern", "expected a pattern inside the home", pattern, hint="tool_manifests/*.yaml")
            )
            continue
        found = [path for path in home.glob(pattern) if not path.is_dir()]
        files.update(found)
        if not found and glob.has_magic(pattern):
            problems.append(Problem("no_files", "the pattern matches no file", pattern, severity="warning"))
        elif not found:
            hint = "create it, or correct tools: in mcp-guard.yaml"
            problems.append(Problem("unreadable", "there is no such file", pattern, hint=hint))
    return sorted(files, key=lambda path: path.relative_to(home).as_posix()), problems


@dataclass(frozen=True, slots=True)
class _Found:
    """A tool by name and place; `tool` is missing where it has errors of its own."""

    name: str
    tool: Tool | None
    report: Report


def _locked(home: Path, problems: list[Problem]) -> "Lock":
    from mcp_guard.manifest import lock

    try:
        return lock.read(home)
    except Invalid as error:
        problems.extend(error.problems)
        return lock.Lock()


def _read(path: Path, home: Path, reserved: HomeFiles, locked: "Lock", problems: list[Problem]) -> list[_Found]:
    from mcp_guard.manifest.compile import Surroundings, compile_tool

    try:
        document = yaml.load(path, path.relative_to(home).as_posix())
    except Invalid as error:
        problems.extend(error.problems)
        return []
    report = Report(document, problems)
    file, entries = _parse(report)
    around = Surroundings.of(file, home, reserved, report)
    tools = []
    for index, entry in entries:
        place = Report(document, [], ("tools", index))
        tools.append(_Found(entry.name, compile_tool(entry, around, place), place))
        problems.extend(place.problems)
    tools += _of_others(file, around, locked, report)
    return tools


def _of_others(file: "File", around: "Surroundings", locked: "Lock", report: Report) -> Iterator[_Found]:
    for index, upstream in enumerate(file.upstreams):
        from mcp_guard.manifest.upstreams import compile_upstream

        place = report.at("upstreams", index)
        yield from _found(compile_upstream(upstream, around, locked, place), place)
    for index, entry in enumerate(file.imports):
        from mcp_guard.manifest.imports import compile_import

        place = report.at("imports", index)
        yield from _found(compile_import(entry, around, locked, place), place)


def _found(mirrored: "Sequence[Mirrored]", report: Report) -> list[_Found]:
    return [_Found(one.name, one.tool, report) for one in mirrored]


def _parse(report: Report) -> "tuple[File, list[tuple[int, ToolEntry]]]":
    """The file and those of its tools that have the right shape; the rest is reported."""
    from pydantic import ValidationError

    from mcp_guard.manifest.complaint import complaints
    from mcp_guard.manifest.document import File

    raw = report.document.value
    if not isinstance(raw, dict):
        code, message = ("empty", "the file holds nothing") if raw is None else ("type", "expected a mapping")
        report.error(code, message, "start with apiVersion: mcp-guard/v1")
        return File.model_construct(), []
    try:
        file = File.model_validate(raw)
    except ValidationError as error:
        found = list(complaints(error, File))
        for complaint in found:
            report.at(*complaint.location).error(complaint.code, complaint.message, complaint.hint)
        return _sound_part(raw, [complaint.location for complaint in found])
    if not file.model_fields_set & {"tools", "services", "upstreams", "imports"}:
        hint = "a file says tools:, services:, upstreams: or imports:, or several of them"
        report.error("missing_key", "the key tools is missing", hint)
    return file, list(enumerate(file.tools))


def _sound_part(raw: dict[str, object], broken: "list[Location]") -> "tuple[File, list[tuple[int, ToolEntry]]]":
    """What can still be checked of a file with errors, so that one run names them all."""
    from mcp_guard.manifest.document import Defaults, File, ServiceEntry, ToolEntry

    tools, services = raw.get("tools"), raw.get("services", [])
    common = (("defaults",), ("toolset",), ("services",))
    if any(where[:1] in common for where in broken) or not isinstance(tools, list):
        return File.model_construct(), []
    assert isinstance(services, list), "else it were broken"
    skipped = {where[1] for where in broken if where[:1] == ("tools",) and len(where) > 1}
    known = [ServiceEntry.model_validate(service) for service in services]
    file = File.model_construct(defaults=Defaults.model_validate(raw.get("defaults", {})), tools=[], services=known)
    return file, [(n, ToolEntry.model_validate(tool)) for n, tool in enumerate(tools) if n not in skipped]


def _linked(tools: Sequence[_Found], home: Path, problems: list[Problem]) -> "list[Tool | None]":
    """The tools, with every workflow bound to the tools it calls."""
    from mcp_guard.manifest.links import linked

    places = [Report(found.report.document, problems, found.report.where) for found in tools]
    return linked([(found.name, found.tool, place) for found, place in zip(tools, places, strict=True)], home)


def _same_names(found: "Sequence[Declared | DeclaredImport]") -> Iterator[Problem]:
    """What is locked is locked by name."""
    seen = set[str]()
    for one in found:
        if one.name in seen:
            where = pointer.join(one.report.where)
            hint = "give one of them another name"
            yield one.report.document.problem(where, "duplicate_name", "the name is given to another one already", hint)
        seen.add(one.name)


def _advise(
    tools: Sequence[_Found], served: "Sequence[Tool | None]", bounded: Bounded, problems: list[Problem]
) -> None:
    from mcp_guard.manifest.advice import Placed, advise

    sound = [
        Placed(tool, Report(found.report.document, problems, found.report.where))
        for found, tool in zip(tools, served, strict=True)
        if tool is not None
    ]
    advise(sound, bounded({placed.tool.name: placed.tool.tags for placed in sound}))


def _two_accounts(tools: Sequence[_Found]) -> Iterator[Problem]:
    """What somebody connected is kept by the upstream's name, which so has one meaning in a home."""
    meant: dict[str, object] = {}
    for found in tools:
        oauth = None if found.tool is None else found.tool.oauth
        if oauth is not None and meant.setdefault(oauth.upstream, oauth) != oauth:
            message = f"{oauth.upstream} is another upstream in another place"
            where = pointer.join(found.report.where)
            yield found.report.document.problem(where, "duplicate_name", message, "rename one of them")


def _duplicates(tools: Sequence[_Found]) -> Iterator[Problem]:
    """Names are compared without case: an agent, and a person reading a rule, would confuse them."""
    first: dict[str, _Found] = {}
    for found in tools:
        other = first.setdefault(found.name.casefold(), found)
        if other is found:
            continue
        line, _ = other.report.document.position(pointer.join(other.report.where))
        yield found.report.document.problem(
            pointer.join((*found.report.where, "name")),
            "duplicate_tool",
            f"the tool {found.name} is already defined in {other.report.document.file}:{line}",
            "rename one of them",
        )
