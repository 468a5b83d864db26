"""The `command` connector of a manifest: a program, found once, and elements in which arguments may stand.

What a program does with the account it runs under cannot be seen from its arguments. What can be seen is refused here:
a directory or a path that leads to the guard's own files, and text that a shell or an interpreter would run.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mcp_guard.kit import programs, references, template, units
from mcp_guard.kit.template import Placeholder
from mcp_guard.manifest.arguments import Arguments
from mcp_guard.manifest.document import Command
from mcp_guard.manifest.home import directory
from mcp_guard.manifest.process import Place, Said, check_env, limits_of
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.written_secrets import looks_secret
from mcp_guard.model.tool import CommandSpec, Sandbox

MAX_OUTPUT = 1024 * 1024
# Programs that run a text, and the options behind which it stands.
_INTERPRETERS = [
    (re.compile(r"(?:ba|da|z|k|mk|c|tc|fi|a)?sh|busybox|su|ssh"), re.compile(r"-[A-Za-z]*c|--command")),
    (re.compile(r"python[0-9.]*|pypy[0-9.]*"), re.compile(r"-[A-Za-z]*c")),
    (re.compile(r"(?:perl|ruby|lua)[0-9.]*|osascript"), re.compile(r"-[A-Za-z0-9]*[eE]")),
    (re.compile(r"node(?:js)?|deno|bun"), re.compile(r"-[A-Za-z]*[ep]|--eval|--print|eval")),
    (re.compile(r"php[0-9.]*"), re.compile(r"-[BRrE]")),
    (re.compile(r"env"), re.compile(r"-S|--split-string")),
]
_END_OF_OPTIONS = "--"


def compile_command(
    entry: Command, arguments: Arguments, place: Place, said: Said, report: Report
) -> tuple[CommandSpec | None, frozenset[str]]:
    """The command of a tool and the arguments it uses; problems go to the report."""
    if not programs.SUPPORTED:
        report.error("unsupported", "commands cannot be run on this system", "use another kind of tool")
        return None, frozenset()
    program = _program(entry.argv[0], place, report.at("argv", 0))
    cwd = _directory(entry.cwd, place, report.at("cwd"))
    within = {
        name: str(found)
        for name, text in entry.within.items()
        if arguments.check_name(name, report.at("within", name))
        and (found := directory(text, place.home, place.reserved, report.at("within", name))) is not None
    }
    used = _check_elements(entry, arguments, report.at("argv"))
    _check_reach(entry, place, cwd, report.at("argv"))
    for key, names in (("within", list(entry.within)), ("allow_dash", entry.allow_dash)):
        for index, name in enumerate(names):
            token = name if key == "within" else index
            if name not in used and (key == "within" or arguments.check_name(name, report.at(key, token))):
                report.at(key, token).error("unused_argument", "argv does not use this argument", "remove it")
    check_env(entry.env, report.at("env"))
    if program is not None and entry.sha256 not in (None, digest(program)):
        report.at("sha256").error("pin", "the program is not the one that was pinned", "look at it, then pin it anew")
    if program is None or (entry.cwd is not None and cwd is None):
        return None, used
    return CommandSpec(
        kind="command",
        program=str(program),
        argv=tuple(entry.argv),
        cwd=str(cwd) if cwd is not None else None,
        env=tuple(sorted(entry.env.items())),
        within=tuple(sorted(within.items())),
        allow_dash=tuple(sorted(entry.allow_dash)),
        ok_exits=tuple(sorted(set(entry.ok_exits))) if entry.ok_exits is not None else None,
        max_bytes=_max_output(entry.max_output, report.at("max_output")),
        limits=limits_of(entry.limits, said.timeout, report.at("limits")),
        sandbox=_sandbox(entry, place, said, report),
        sha256=entry.sha256,
    ), used


def digest(program: Path) -> str:
    """The SHA-256 (hex) of a program's file; empty where it cannot be read."""
    try:
        with program.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _program(text: str, place: Place, report: Report) -> Path | None:
    """The absolute path of the program: given, below the home where it has a slash, or found where programs are."""
    if "{" in text or references.OPENING in text:
        report.error("template", "the program is fixed text", "arguments stand in the elements behind it")
        return None
    if "/" in text:
        path: Path | None = Path(os.path.abspath(place.home.resolve() / text))
    else:
        path = programs.find_program(text) if text not in ("", ".", "..") and "\0" not in text else None
    if path is None or not path.is_file() or not os.access(path, os.X_OK):
        hint = f"name it as it is called in {programs.SEARCH_PATH}, or with its path"
        report.error("program", "there is no such program", hint)
        return None
    if place.reserved.holds(path):
        report.error("reaches_home", "the program is one of the guard's own files", "keep it apart from them")
        return None
    if path.stat().st_mode & stat.S_IWOTH:
        report.error("program", "everybody on this machine can change the program", "take the right away: chmod o-w")
        return None
    return path


def _directory(text: str | None, place: Place, report: Report) -> Path | None:
    return None if text is None else directory(text, place.home, place.reserved, report)


def _check_elements(entry: Command, arguments: Arguments, report: Report) -> frozenset[str]:
    used: frozenset[str] = frozenset()
    for index, text in enumerate(entry.argv[1:], start=1):
        place, before = report.at(index), entry.argv[index - 1]
        if references.OPENING in text:
            hint = "everybody on the machine can list arguments; put it into env:"
            place.error("reference_place", "a secret never stands among the arguments of a program", hint)
            continue
        if looks_secret(text):
            place.warning("literal_secret", "this looks like a secret written out", "put ${secret:NAME} into env:")
        try:
            parts = template.parse(text)
        except ValueError as error:
            place.error("template", str(error), "write {{ and }} for literal braces")
            continue
        if "\0" in text:
            place.error("value", "an argument holds no NUL", "remove it")
        names = {part.name for part in parts if isinstance(part, Placeholder)}
        if names and _is_code(entry.argv[:index]):
            hint = 'pass it as an argument of its own: [sh, -c, \'program "$1"\', sh, "{x}"]'
            place.error("shell", "an argument would become a part of a program's text", hint)
        used |= _check_names(names, len(parts) == 1, before, arguments, place)
    return used


def _is_code(before: list[str]) -> bool:
    """Whether what follows these elements is the text of a program. What stands in front (`timeout`, `nice`, …) may be
    anything."""
    names = [PurePosixPath(element).name for element in before[:-1]]
    return any(
        options.fullmatch(before[-1]) is not None and any(program.fullmatch(name) for name in names)
        for program, options in _INTERPRETERS
    )


def _check_names(names: set[str], alone: bool, before: str, arguments: Arguments, report: Report) -> frozenset[str]:
    for name in sorted(names):
        if not arguments.check_name(name, report):
            continue
        types = arguments.types.get(name, frozenset())
        if "object" in types or ("array" in types and not alone):
            hint = 'a list of single values may be an element by itself: "{x}"'
            report.error("argument_type", f"{name} cannot be placed here", hint)
        if name not in arguments.always and alone and before.startswith("-") and before != _END_OF_OPTIONS:
            hint = f"list {name} under required, or write the option and its value in one element: --option={{{name}}}"
            message = f"{name} may be missing, and the option before it would take the next element instead"
            report.error("optional_argument", message, hint)
    return frozenset(names)


def _check_reach(entry: Command, place: Place, cwd: Path | None, report: Report) -> None:
    """Refuse fixed elements that name the guard's files or a directory above them."""
    for index, path in _fixed_paths(entry.argv):
        if place.reaches(path, cwd):
            hint = "name something beside policy, manifests, keys and store, and no directory above them"
            report.at(index).error("reaches_home", "the command could reach the guard's own files here", hint)


def _fixed_paths(argv: list[str]) -> Iterator[tuple[int, str]]:
    """Elements without arguments, and of others the directory their fixed beginning names."""
    for index, text in enumerate(argv[1:], start=1):
        try:
            parts = template.parse(text)
        except ValueError:
            continue
        first = parts[0] if parts and isinstance(parts[0], str) else ""
        if len(parts) <= 1:
            yield index, first
        elif "/" in first.rstrip("/"):
            yield index, first.rpartition("/")[0]


def _max_output(text: str, report: Report) -> int:
    size = units.size(text)
    if not 0 < size <= MAX_OUTPUT:
        report.error("value", "expected a size between 1B and 1MiB", "a command with a longer output is ended")
    return size


def _sandbox(entry: Command, place: Place, said: Said, report: Report) -> Sandbox | None:
    if entry.sandbox is None:
        if entry.network:
            report.at("network").error("sandbox", "only a sandbox can be without network", "say sandbox: bubblewrap")
        return None
    if programs.bubblewrap() is None:
        hint = "install bubblewrap (`bwrap`) and allow user namespaces, or run the command without a sandbox"
        report.at("sandbox").error("sandbox", "there is no working bubblewrap on this machine", hint)
    if place.home.resolve().is_relative_to("/usr"):
        report.at("sandbox").error("sandbox", "a sandbox shows /usr, and the home is in it", "move the home")
    return Sandbox("bubblewrap", entry.network, said.effects != "none")
