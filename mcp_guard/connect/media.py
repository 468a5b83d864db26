"""Answers that are pictures, sounds or documents: one content block, of a type the manifest names. Pure.

What a type is called is an upstream's word, and clients act on it. So the content has to begin as its type does, and
only types are known that are shown and not run (an SVG or a page of HTML is a program).
"""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256

from mcp_guard.connect.answer import content_type
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import Response

# How the content of a type begins (WHATWG MIME Sniffing, section 6; RFC 8118; RFC 9639).
_BEGINNINGS = {
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"RIFF....WEBP",
    "audio/wav": rb"RIFF....WAVE",
    "audio/mpeg": rb"ID3|\xff[\xe2-\xff]",
    "audio/ogg": rb"OggS\x00",
    "audio/flac": rb"fLaC",
    "application/pdf": rb"%PDF-",
}
_PATTERNS = {kind: re.compile(beginning, re.DOTALL) for kind, beginning in _BEGINNINGS.items()}


def media_value(response: Response, media: tuple[str, ...], redact: Callable[[str], str]) -> object:
    """`{"content": [block]}`, or `None` for an empty answer.

    Raises `Failed` (`upstream_bad_response`) for other types, for content that is not of its type, and where a secret
    stands in it: as base64 nobody would find it again.
    """
    body = response.body
    if response.status == 204 or not body:
        return None
    kind, _ = content_type(response.headers.get("content-type"))
    if kind is None or kind not in media:
        raise _bad("it is of a type the tool does not name under media")
    if _PATTERNS[kind].match(body) is None:
        raise _bad("its content is not of the type it names")
    for charset in ("latin-1", "utf-8"):
        text = body.decode(charset, "replace")
        if redact(text) != text:
            raise _bad("it holds a secret")
    return {"content": [_block(kind, body)]}


def begins_as(kind: str, body: bytes) -> bool:
    """Whether content begins as its type does; of types that are not known here nothing is known."""
    pattern = _PATTERNS.get(kind.partition(";")[0].strip().lower())
    return pattern is None or not body or pattern.match(body) is not None


def _block(kind: str, body: bytes) -> dict[str, object]:
    data = b64encode(body).decode("ascii")
    family = kind.partition("/")[0]
    if family in ("image", "audio"):
        return {"type": family, "data": data, "mimeType": kind}
    return {"type": "resource", "resource": {"uri": _name_of(body), "mimeType": kind, "blob": data}}


def _name_of(body: bytes) -> str:
    """The content's name by its hash (RFC 6920): an address would show arguments, and lead nowhere for a client."""
    digest = urlsafe_b64encode(sha256(body).digest()).decode("ascii").rstrip("=")
    return f"ni:///sha-256;{digest}"


def _bad(why: str) -> Failed:
    return Failed("upstream_bad_response", f"the answer could not be used: {why}", executed="unknown")
