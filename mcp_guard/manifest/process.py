"""What the manifests of everything that runs as a process of its own have in common."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from mcp_guard.kit import programs, references, units
from mcp_guard.manifest.document import ProcessLimitsEntry
from mcp_guard.manifest.home import HomeFiles
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.written_secrets import looks_secret, names_a_secret
from mcp_guard.model.tool import Effects, ProcessLimits

PROCESSES = 64
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True, slots=True)
class Place:
    """The home of a tool, and what belongs to the guard there."""

    home: Path
    reserved: HomeFiles

    def reaches(self, text: str, start: Path | None) -> bool:
        """Whether an element of a command leads to the guard's own files, as a path or behind `--option=`.

        Without a directory to start in, a command starts in an empty one, and only absolute paths lead anywhere.
        """
        found = (path for path in (text, text.partition("=")[2]) if _is_path(path) and (start or path.startswith("/")))
        return any(self.reserved.reaches((start or Path("/")) / path) for path in found)


@dataclass(frozen=True, slots=True)
class Said:
    """What the tool says of itself: its effects, its timeout in seconds, and which arguments become dataclasses."""

    effects: Effects
    timeout: float
    built: tuple[str, ...] = ()


def check_env(env: dict[str, str], report: Report) -> None:
    """Report what cannot be a variable, and references that are not the whole value of one."""
    for name, value in env.items():
        place = report.at(name)
        if _VARIABLE.fullmatch(name) is None:
            place.error("variable", "expected the name of a variable", "letters, digits and _")
        if "\0" in value:
            place.error("value", "a variable holds no NUL", "remove it")
        if references.OPENING in value:
            if re.fullmatch(references.WHOLE_REFERENCE, value) is None:
                hint = "write ${secret:NAME}, ${env:NAME} or ${file:/PATH} and nothing else"
                place.error("reference", "a reference is the whole value of a variable", hint)
        elif names_a_secret(name) or looks_secret(value):
            place.warning("literal_secret", "this looks like a secret written out", "write ${secret:NAME} instead")


def limits_of(entry: ProcessLimitsEntry, timeout: float, report: Report) -> ProcessLimits:
    """The limits as written; the processor's time is the tool's where nothing is said."""
    cpu = units.seconds(entry.cpu) if entry.cpu is not None else timeout
    memory, file_size = units.size(entry.memory), units.size(entry.file_size)
    for key, value in (("cpu", cpu), ("memory", memory), ("file_size", file_size)):
        if value <= 0:
            report.at(key).error("value", "expected more than nothing", "leave it out for what is usual")
    for key in {"processes", "memory"} & entry.model_fields_set if not programs.COUNTS_PROCESSES else ():
        report.at(key).error("unsupported", f"{key} cannot be limited on this system", "remove it")
    return ProcessLimits(max(1, math.ceil(cpu)), memory, file_size, entry.open_files, entry.processes or PROCESSES)


def _is_path(text: str) -> bool:
    return bool(text) and "\0" not in text and not text.startswith("-") and len(text) < 4096
