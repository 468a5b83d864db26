"""A result that is more than one answer carries: what whoever asked is told of it, and how the rest is named."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

LEAST_ANSWER: Final = 1024
"""Bytes of JSON that every answer carries, whatever a home or a tool says."""
LARGEST_RESULT: Final = 8 * 1024 * 1024
"""Bytes of JSON that a result has at most; what is larger is refused."""

KEPT: Final = "result_kept"
"""The code of a result that is told by its beginning; not an error."""
BEGINNING: Final = "beginning"
CUT: Final = "…"
"""What a text of it ends with that goes on."""
SCHEME: Final = "result"

_ID = re.compile(r"[0-9a-f]{32}")


def uri_of(identifier: str, page: int = 1) -> str:
    """Where a page of a kept result is read."""
    return f"{SCHEME}://{identifier}" + (f"?page={page}" if page > 1 else "")


def is_id(text: str) -> bool:
    """Whether a text could be the id of a kept result."""
    return _ID.fullmatch(text) is not None


def kept_in(structured: Mapping[str, object]) -> Mapping[str, object] | None:
    """The `id`, `uri` and size of the kept result that an answer shows the beginning of; `None` for any other."""
    guard = structured.get("guard")
    kept = guard.get("result") if isinstance(guard, Mapping) and guard.get("code") == KEPT else None
    uri = kept.get("uri") if isinstance(kept, Mapping) else None
    if not isinstance(kept, Mapping) or not isinstance(uri, str) or not is_id(uri.removeprefix(f"{SCHEME}://")):
        return None
    return {**kept, "id": uri.removeprefix(f"{SCHEME}://")}


@dataclass(frozen=True, slots=True)
class Whole:
    """What an answer shows only the beginning of: the kept result `id`, its value, and that as canonical JSON."""

    id: str
    value: Mapping[str, object]
    encoded: bytes


@dataclass(frozen=True, slots=True)
class KeptView:
    """The wire form of a result that is told by its beginning (`structuredContent`).

    It has a `guard` member, so that it is what an advertised output schema allows for; what the tool promises of its
    own result is true of the whole.
    """

    call: str
    id: str
    size: int
    pages: int
    expires_at: datetime
    beginning: Mapping[str, object]

    def as_dict(self) -> dict[str, object]:
        kept = {
            "uri": uri_of(self.id),
            "bytes": self.size,
            "pages": self.pages,
            "expires_at": self.expires_at.isoformat(timespec="seconds"),
        }
        guard = {
            "code": KEPT,
            "reason": self._reason(),
            "call": self.call,
            "executed": "yes",
            "retry": "never",
            "result": kept,
        }
        return {"guard": guard, BEGINNING: dict(self.beginning)}

    def as_text(self) -> str:
        """`NOT COMPLETE` first: whoever reads only the beginning must not take it for all."""
        return f"NOT COMPLETE: {self._reason()}. What follows is its beginning."

    def _reason(self) -> str:
        until = self.expires_at.isoformat(timespec="minutes")
        return (
            f"the result has {self.size} bytes, more than one answer carries; "
            f"read all of it as {self.pages} pages of the resource {uri_of(self.id)}, until {until}"
        )

    def as_content(self, tool: str, encoded: bytes) -> tuple[Mapping[str, object], ...]:
        """The content blocks: that it is not complete, the beginning as JSON (`encoded`), and the link to the rest."""
        link = {
            "type": "resource_link",
            "uri": uri_of(self.id),
            "name": f"the whole result of {tool}",
            "mimeType": "application/json",
            "size": self.size,
        }
        texts = (self.as_text(), encoded.decode())
        return (*({"type": "text", "text": text} for text in texts), link)
