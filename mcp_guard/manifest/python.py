"""The `python` connector of a manifest: a function that takes the arguments by keyword, here or in a worker process."""

import keyword
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from mcp_guard.kit import bounded_file, programs
from mcp_guard.manifest import signature
from mcp_guard.manifest.arguments import Arguments
from mcp_guard.manifest.document import ProcessLimitsEntry, Python, ToolEntry
from mcp_guard.manifest.home import directory
from mcp_guard.manifest.process import Place, Said, check_env, limits_of
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.signature import Unreadable
from mcp_guard.model.problem import Problem
from mcp_guard.model.tool import PythonSpec, WorkerSpec

MAX_SOURCE = 4 * 1024 * 1024
_OF_A_WORKER = ("cwd", "env", "limits", "warm")


def with_schema(entry: ToolEntry, home: Path, report: Report) -> tuple[ToolEntry, tuple[str, ...]] | None:
    """The tool with an input schema, and the arguments that are built into dataclasses.

    A function without one is described by its signature, which is read from its source: nothing is imported. `None`
    where the report now holds an error.
    """
    if entry.inputSchema is not None:
        return entry, ()
    if entry.python is None:
        report.error("missing_key", "the key inputSchema is missing", "add inputSchema:")
        return None
    module, _, function = entry.python.function.partition(":")
    place = report.at("python", "function")
    source = _source(module, home)
    if source is None:
        hint = "correct the path, or write inputSchema: then nothing is read before the first call"
        place.error("signature", "the source of this module is not found, so its signature cannot be read", hint)
        return None
    try:
        text = bounded_file.read_bytes(source, MAX_SOURCE).decode("utf-8")
        found = signature.read(text, function)
    except (OSError, ValueError):
        place.error("signature", "the source of this module cannot be read", "it is a text in UTF-8")
        return None
    except Unreadable as error:
        shown = source.relative_to(home).as_posix() if source.is_relative_to(home) else str(source)
        report.problems.append(Problem("signature", error.message, shown, error.line, error.column, error.hint))
        return None
    return entry.model_copy(update={"inputSchema": found.schema}), found.built


def compile_python(
    entry: Python, arguments: Arguments, place: Place, said: Said, report: Report
) -> tuple[PythonSpec | None, frozenset[str]]:
    """The function of a tool; it uses every argument. Nothing is imported here: importing runs code."""
    names = entry.function.replace(":", ".").split(".")
    if any(keyword.iskeyword(name) for name in names):
        report.at("function").error("value", "a part of the import path is a word of the language", "correct the path")
    for name in sorted(arguments.types):
        if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
            report.at("function").error(
                "argument_name",
                "an argument of this tool cannot be a Python keyword argument",
                "rename it in inputSchema",
            )
    worker = _worker(entry, place, said, report)
    return PythonSpec("python", entry.function, said.built, worker), frozenset(arguments.types)


def _worker(entry: Python, place: Place, said: Said, report: Report) -> WorkerSpec | None:
    if not entry.worker:
        for key in _OF_A_WORKER:
            if getattr(entry, key):
                report.at(key).error("worker", f"{key} means nothing inside the server", "say worker: true")
        return None
    if not programs.SUPPORTED:
        report.at("worker").error("unsupported", "workers cannot be run on this system", "leave worker out")
    check_env(entry.env, report.at("env"))
    cwd = None if entry.cwd is None else directory(entry.cwd, place.home, place.reserved, report.at("cwd"))
    limits = limits_of(entry.limits or ProcessLimitsEntry(), said.timeout, report.at("limits"))
    return WorkerSpec(str(cwd) if cwd is not None else None, tuple(sorted(entry.env.items())), limits, entry.warm)


def _source(module: str, home: Path) -> Path | None:
    """The file of a module, found as importing it would, the home last; without importing its packages."""
    path: list[str] | None = [*sys.path, str(home)]
    origin: str | None = None
    name = ""
    for part in module.split("."):
        if path is None:
            return None
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return None
        origin = spec.origin
        path = list(spec.submodule_search_locations) if spec.submodule_search_locations is not None else None
    found = Path(origin) if origin else None
    return found if found is not None and found.suffix == ".py" and found.is_file() else None
