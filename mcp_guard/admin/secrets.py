"""Which secrets a home needs, by whom, and whether each can be had now. No value leaves this module."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass

from mcp_guard.kit import references
from mcp_guard.kit.references import Reference
from mcp_guard.model.tool import Tool
from mcp_guard.secrets.references import Resolver, Unresolvable


@dataclass(frozen=True, slots=True)
class Wanted:
    """A secret, and who uses it: `tool NAME`, or `config` with the JSON pointer of the setting."""

    reference: Reference
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What became of resolving a secret. `problem` is empty where it can be had."""

    wanted: Wanted
    source: str
    problem: str
    exit_code: int = 0

    def as_dict(self) -> dict[str, object]:
        """The `--json` shape; `problem` only where there is one."""
        reference = self.wanted.reference
        shown: dict[str, object] = {
            "reference": f"${{{reference.kind}:{reference.name}}}",
            "source": self.source,
            "used_by": list(self.wanted.users),
            "ok": not self.problem,
        }
        return shown | ({"problem": self.problem} if self.problem else {})


def wanted(tools: Iterable[Tool], settings: Mapping[str, object]) -> list[Wanted]:
    """Every reference of the tools and the settings, in the order they come up; credentials made out per call aside."""
    users: dict[Reference, dict[str, None]] = {}
    for tool in tools:
        for reference, _ in _references(tool.connector):
            users.setdefault(reference, {})[f"tool {tool.name}"] = None
    for reference, where in _references(settings):
        users.setdefault(reference, {})[f"config {where}"] = None
    return [Wanted(reference, tuple(names)) for reference, names in users.items() if reference.kind != "token"]


def check(secrets: Sequence[Wanted], resolver: Resolver) -> Iterator[Found]:
    """Resolve each. Programs are run; nothing else is."""
    for secret in secrets:
        problem, status = "", 0
        try:
            resolver.resolve(secret.reference)
        except Unresolvable as error:
            problem, status = error.message, error.exit_code
        yield Found(secret, resolver.source_of(secret.reference), problem, status)


def _references(value: object, where: str = "") -> Iterator[tuple[Reference, str]]:
    """The references in all texts of a value, with the JSON pointers of the texts."""
    if isinstance(value, str):
        if references.OPENING in value:
            yield from ((found, where) for found in _parsed(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _references(item, f"{where}/{key}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _references(item, f"{where}/{position}")
    elif is_dataclass(value):
        for field in fields(value):
            yield from _references(getattr(value, field.name), f"{where}/{field.name}")


def _parsed(text: str) -> list[Reference]:
    try:
        return [part for part in references.parse(text) if isinstance(part, Reference)]
    except ValueError:
        return []  # a text that only looks like one, where no reference can stand
