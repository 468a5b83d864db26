"""Which resource of the home a URI means: one that another server lists, or one that a template of it stands for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mcp_guard.kit.uri_template import MAX_URI, UriTemplate
from mcp_guard.manifest.others import matches
from mcp_guard.model.tool import McpSpec, Tool, uri_here

_NOTHING: Final[Mapping[str, object]] = {}


@dataclass(frozen=True, slots=True)
class Reading:
    """A read as a call: what is read, and the values its template was filled with."""

    name: str
    arguments: Mapping[str, object]


class Readable:
    """The resources of a home, by URI. Immutable.

    A URI is understood as its values would be written: what is listed is that resource and nothing a template stands
    for, however it is escaped, and what a `deny` names is not there at all. Of several templates the one with the
    longest fixed beginning is meant, and among those the first by name: a caller cannot choose by which rule they are
    judged.
    """

    __slots__ = ("_fixed", "_templates")

    def __init__(self, tools: Iterable[Tool]) -> None:
        found = [(tool.name, tool.connector) for tool in tools if isinstance(tool.connector, McpSpec)]
        self._fixed = {
            uri_here(spec.upstream.name, spec.tool): name for name, spec in found if spec.offers == "resource"
        }
        templates = [(UriTemplate(spec.tool), spec, name) for name, spec in found if spec.offers == "template"]
        self._templates = sorted(templates, key=lambda one: (-one[0].text.index("{"), one[2]))

    def template(self, uri: str) -> str | None:
        """What is called by a template, as clients are shown it; `None` where there is none."""
        upstream, _, text = uri.partition("+")
        found = (name for one, spec, name in self._templates if (spec.upstream.name, one.text) == (upstream, text))
        return next(found, None)

    def find(self, uri: str) -> Reading | None:
        """What a client means by a URI; `None` where there is nothing."""
        if len(uri) > MAX_URI:
            return None
        if uri in self._fixed:
            return Reading(self._fixed[uri], _NOTHING)
        upstream, plus, own = uri.partition("+")
        if not plus:
            return None
        for template, spec, name in self._templates:
            if spec.upstream.name != upstream or (values := template.values(own)) is None:
                continue
            meant = template.uri(values)
            if uri_here(upstream, meant) in self._fixed:
                return Reading(self._fixed[uri_here(upstream, meant)], _NOTHING)
            if any(matches(glob, said) for glob in spec.deny for said in (meant, own)):
                return None
            return Reading(name, values)
        return None
