"""Which resource of the home a URI means: one that another server lists, or one that a template of it stands for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from mcp_guard.kit.uri_template import MAX_URI, UriTemplate
from mcp_guard.manifest.others import denies
from mcp_guard.model.tool import McpSpec, Tool, uri_here

_MOST_SPELLINGS: Final = 4
"""One URI as it came, and as templates write it, until it stays the same."""
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

    __slots__ = ("_fixed", "_spelled", "_templates")

    def __init__(self, tools: Iterable[Tool]) -> None:
        found = [(tool.name, tool.connector) for tool in tools if isinstance(tool.connector, McpSpec)]
        self._fixed = {
            uri_here(spec.upstream.name, spec.tool): name for name, spec in found if spec.offers == "resource"
        }
        self._spelled = {unquote(uri): name for uri, name in self._fixed.items()}
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
        if (listed := self._listed(uri)) is not None:
            return Reading(listed, _NOTHING)
        upstream, plus, own = uri.partition("+")
        for _ in range(_MOST_SPELLINGS if plus else 0):
            found = self._by_template(upstream, own)
            if found is None:
                return None
            reading, meant = found
            if (listed := self._listed(uri_here(upstream, meant))) is not None:
                return Reading(listed, _NOTHING)
            if meant == own:
                return reading
            own = meant  # another template may be meant by what it was an escape of
        return None

    def _listed(self, uri: str) -> str | None:
        """What is listed at a URI, or at one that only escapes differ from."""
        return self._fixed.get(uri) or self._spelled.get(unquote(uri))

    def _by_template(self, upstream: str, own: str) -> tuple[Reading, str] | None:
        """What the first template that knows a URI makes of it, and the URI as it would be written."""
        for template, spec, name in self._templates:
            if spec.upstream.name != upstream or (values := template.values(own)) is None:
                continue
            meant = template.uri(values)
            if any(denies(glob, said) for glob in spec.deny for said in (meant, own)):
                return None
            return Reading(name, values), meant
        return None
