"""Content blocks that clients can show: pictures, sounds, documents, links and texts of an answer.

They are made from the value that was redacted, stripped, bounded and recorded, so that nothing is shown that is not
what the record commits to. Of a block only what MCP names is passed on, and only kinds of media that are no programs
(an SVG is one); what is anything else is shown as the text of its JSON.
"""

import binascii
from collections.abc import Mapping
from typing import Final

from mcp_guard.kit.strict_json import dumps

Block = Mapping[str, object]

_MEDIA: Final = {
    "image": frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"}),
    "audio": frozenset(
        {"audio/wav", "audio/x-wav", "audio/mpeg", "audio/ogg", "audio/mp4", "audio/webm", "audio/flac"}
    ),
}
_LINK: Final = ("title", "description", "mimeType")


def blocks_of(structured: Mapping[str, object]) -> tuple[Block, ...]:
    """The blocks of `{"content": [...]}`; none where a value is anything else."""
    found = structured.get("content")
    if len(structured) != 1 or not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        return ()
    return tuple(shown_block(one) or {"type": "text", "text": dumps(one).decode()} for one in found)


def shown_block(block: Block) -> Block | None:
    """As much of a block as may be shown; `None` for one that may not."""
    kind = block.get("type")
    if kind == "text":
        return _of(block, "type", "text")
    if kind == "resource_link":
        link = _of(block, "type", "uri", "name")
        return link and link | {key: block[key] for key in _LINK if isinstance(block.get(key), str)}
    if kind == "resource":
        return _embedded(block.get("resource"))
    if isinstance(kind, str) and block.get("mimeType") in _MEDIA.get(kind, ()) and _is_base64(block.get("data")):
        return _of(block, "type", "data", "mimeType")
    return None


def _embedded(resource: object) -> Block | None:
    if not isinstance(resource, dict):
        return None
    found = _of(resource, "uri", "text") or _document(resource)
    if found is None:
        return None
    kind = {"mimeType": resource["mimeType"]} if isinstance(resource.get("mimeType"), str) else {}
    return {"type": "resource", "resource": found | kind}


def _document(resource: Block) -> dict[str, object] | None:
    if resource.get("mimeType") != "application/pdf" or not _is_base64(resource.get("blob")):
        return None
    return _of(resource, "uri", "blob")


def _of(block: Block, *keys: str) -> dict[str, object] | None:
    """These members, where all of them are text."""
    return {key: block[key] for key in keys} if all(isinstance(block.get(key), str) for key in keys) else None


def _is_base64(data: object) -> bool:
    try:
        return isinstance(data, str) and bool(binascii.a2b_base64(data, strict_mode=True))
    except ValueError:
        return False
