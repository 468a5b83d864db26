"""Small documents the guard fetches for itself (metadata, keys, tokens), through the same guarded client as tools."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from mcp_guard.connect.egress import Egress
from mcp_guard.connect.message import Request, Response
from mcp_guard.model.errors import Refused

MAX_BYTES: Final = 256 * 1024
SECONDS: Final = 5.0

_ACCEPT = ("accept", "application/json")


@dataclass(frozen=True, slots=True)
class Documents:
    """`networks` are the private networks (CIDR) that may be reached, none unless the configuration says so.

    `seconds` are for one exchange, `max_bytes` cap the body of its answer.
    """

    egress: Egress
    networks: tuple[str, ...]
    seconds: float = SECONDS
    max_bytes: int = MAX_BYTES

    async def get(self, url: str) -> bytes:
        """The body of a 200. Raises `Refused`."""
        response = await self._send("GET", url, (_ACCEPT,), None)
        if response.status != 200:
            raise Refused("upstream_unavailable", f"it answered {response.status}")
        return response.body

    async def challenge(self, url: str) -> str:
        """What a GET without credentials is told to authenticate with. Raises `Refused`."""
        response = await self._send("GET", url, (_ACCEPT,), None)
        return response.headers.get("www-authenticate", "") if response.status == 401 else ""

    async def post_form(self, url: str, form: Mapping[str, str], authorization: str) -> tuple[int, bytes]:
        """Status and body of what a form is answered with, without `authorization` where that is empty. Raises
        `Refused`."""
        kind = ("content-type", "application/x-www-form-urlencoded")
        headers = (_ACCEPT, kind, *([("authorization", authorization)] if authorization else []))
        response = await self._send("POST", url, headers, urlencode(form).encode("ascii"))
        return response.status, response.body

    async def post(self, url: str, body: bytes, kind: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """What a body of a media type is answered with, whatever the status. Raises `Refused`."""
        return await self._send("POST", url, (("content-type", kind), *headers), body)

    async def _send(self, method: str, url: str, headers: tuple[tuple[str, str], ...], body: bytes | None) -> Response:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not target.isascii() or not target.isprintable() or " " in target:
            raise Refused("egress_denied", "the address is not one")
        origin = f"{parts.scheme}://{parts.netloc}"
        request = Request(method, origin, target, headers, body, self.networks, self.max_bytes)
        return await self.egress.send(request, self.seconds)
