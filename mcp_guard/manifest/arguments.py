"""What a connector may use: the arguments of its tool, and the rules for placing them."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp_guard.kit import references, template
from mcp_guard.manifest import suggest
from mcp_guard.manifest.report import Report

SCALARS = frozenset({"string", "number", "integer", "boolean", "null"})


@dataclass(frozen=True, slots=True)
class Arguments:
    """`types` are the declared types of every argument; `always` are those a call is never without."""

    types: Mapping[str, frozenset[str]]
    always: frozenset[str]

    @classmethod
    def of(cls, schema: Mapping[str, object], bound: Mapping[str, str]) -> "Arguments":
        """The arguments of an input schema and the names the guard fills in."""
        properties, required = schema.get("properties"), schema.get("required")
        found = {name: _types(child) for name, child in (properties if isinstance(properties, dict) else {}).items()}
        always = {name for name in (required if isinstance(required, list) else ()) if isinstance(name, str)}
        return cls({**dict.fromkeys(bound, frozenset({"string"})), **found}, frozenset(always | set(bound)))

    def check_name(self, name: str, report: Report) -> bool:
        """Report a name that is no argument."""
        if name in self.types:
            return True
        report.error(
            "unknown_argument",
            f"there is no argument {name}",
            suggest.hint(name, self.types) or "add it to inputSchema",
        )
        return False

    def check_scalar(self, name: str, report: Report) -> None:
        """Report an argument that is a list or an object where only a text can stand."""
        if self.types.get(name, frozenset()) & {"array", "object"}:
            report.error(
                "argument_type", f"{name} is a list or an object and cannot be placed here", "use a scalar argument"
            )


def _types(schema: object) -> frozenset[str]:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return frozenset({kind} if isinstance(kind, str) else kind if isinstance(kind, list) else ())


def placed(text: str, arguments: Arguments, report: Report, *, always: bool = False) -> frozenset[str]:
    """The arguments a template uses, after checking that each can stand where it does.

    A lone `"{x}"` of a missing argument is left out by the connector, so only there an argument may be optional;
    `always` forbids even that.
    """
    if references.OPENING in text:
        report.error("reference_place", "a secret reference may stand in a header value only", "move it to headers:")
        return frozenset()
    try:
        parts = template.parse(text)
    except ValueError as error:
        report.error("template", str(error), "write {{ and }} for literal braces")
        return frozenset()
    names = frozenset(part.name for part in parts if isinstance(part, template.Placeholder))
    alone = len(parts) == 1 and not always
    for name in sorted(names):
        if arguments.check_name(name, report) and not alone:
            arguments.check_scalar(name, report)
            if name not in arguments.always:
                report.error(
                    "optional_argument",
                    f"{name} may be missing, and this text needs it",
                    f'list {name} under required, or let "{{{name}}}" stand alone',
                )
    return names
