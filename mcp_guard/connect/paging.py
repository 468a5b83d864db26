"""From one page of an answer to the request for the next. Pure.

What an upstream says of its next page is text of a stranger: it may choose a value of one parameter, or a path and
query on the origin that was asked, and nothing else of the request.
"""

import re
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

from mcp_guard.connect.addresses import Denied
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import Request, Response, parse_origin
from mcp_guard.connect.texts import encoded
from mcp_guard.kit import pointer
from mcp_guard.kit.pointer import MISSING
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import Pages

MAX_NEXT = 4096
"""Characters of a cursor or an address."""

_ADDRESS = re.compile(r"[!-\[\]-~]+")  # printable ASCII without space and backslash, which programs read differently

# RFC 8288, section 3. Nothing in these gives back what it took, so no header takes them longer than its length.
_TARGET = re.compile(r"\s*+<([^<>]*+)>")
_PARAMETER = re.compile(r'\s*+;\s*+([^\s=;,"]++)(?:\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^\s;,"]*+)))?+')
_COMMA = re.compile(r"\s*+,")


@dataclass(slots=True)
class Gathering:
    """The pages of one call. `request` is what to send next; `truncated` says that there was more."""

    pages: Pages
    request: Request
    items: list[object] = field(default_factory=list)
    truncated: bool = False
    _read: int = 0
    _targets: list[str] = field(default_factory=list)

    @property
    def begun(self) -> bool:
        """Whether a page was read."""
        return bool(self._targets)

    def take(self, response: Response, value: object) -> bool:
        """Add a page; whether another one is to be asked for.

        Raises `Failed`: `upstream_bad_response` where items or next page cannot be used, `upstream_too_large` where
        nothing is left for another page.
        """
        self.items.extend(_items(value, self.pages.items))
        self._targets.append(self.request.target)
        target = following(self.request, self.pages, response, value)
        if target is None:
            return False
        if target in self._targets:
            raise _bad("its next page is one that was read already")
        self.truncated = len(self._targets) >= self.pages.most
        left = self.request.max_bytes - len(response.body)
        if left <= 0 and not self.truncated:
            raise Failed("upstream_too_large", "the pages together are too large", executed="unknown")
        self.request = replace(self.request, target=target, max_bytes=left)
        return not self.truncated

    def value(self) -> object:
        """What was gathered."""
        return {"items": self.items, "truncated": self.truncated}


def following(request: Request, pages: Pages, response: Response, value: object) -> str | None:
    """The target of the page after this one; `None` where it is the last. Raises `Failed`."""
    if pages.next == "link":
        found: object = _linked(response.headers.get("link", ""))
    else:
        found = pointer.get(value, pages.next)
    if found is MISSING or not found:  # also where some say 0 or false
        return None
    if not pages.parameter:
        return _same_origin(request, found)
    if isinstance(found, bool) or not isinstance(found, str | int) or len(str(found)) > MAX_NEXT:
        raise _bad("its cursor is neither a short text nor an integer")
    try:
        return _with(request.target, f"{encoded(pages.parameter)}={encoded(str(found))}")
    except Refused:
        raise _bad("its cursor is not text") from None


def _items(value: object, where: str) -> list[object]:
    """The items of a page; some upstreams leave an empty list out."""
    found = pointer.get(value, where)
    if found is MISSING or found is None:
        return []
    if not isinstance(found, list):
        raise _bad("its items are not a list")
    return found


def _with(target: str, pair: str) -> str:
    """A target with one parameter set, whose name nothing else in it has then."""
    path, _, query = target.partition("?")
    name = pair.partition("=")[0] + "="
    kept = [part for part in query.split("&") if part and not part.startswith(name)]
    return path + "?" + "&".join([*kept, pair])


def _linked(header: str) -> str | None:
    """The address of the first link whose relation is `next` (RFC 8288); what cannot be read ends the list."""
    position = 0
    while target := _TARGET.match(header, position):
        position, relations = target.end(), None
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            if parameter.group(1).lower() == "rel" and relations is None:  # only the first counts (section 3.3)
                relations = (parameter.group(2) or parameter.group(3) or "").lower().split()
        if relations is not None and "next" in relations:
            return target.group(1)
        comma = _COMMA.match(header, position)
        if comma is None:
            return None
        position = comma.end()
    return None


def _same_origin(request: Request, address: object) -> str:
    """Path and query of an address on the request's own origin."""
    if not isinstance(address, str) or len(address) > MAX_NEXT or _ADDRESS.fullmatch(address) is None:
        raise _bad("the address of its next page is not one")
    try:
        parts = urlsplit(urljoin(request.origin + request.target, address))
        origin = parse_origin(f"{parts.scheme}://{parts.netloc}")
    except (ValueError, Denied):
        raise _bad("the address of its next page is not one") from None
    if origin != parse_origin(request.origin):
        raise _bad("its next page is on another origin, which is not followed")
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _bad(why: str) -> Failed:
    return Failed("upstream_bad_response", f"the answer could not be used: {why}", executed="unknown")
