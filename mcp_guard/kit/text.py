"""Characters that make a text look like something it is not."""

import re

# Zero-width and invisible operators, bidirectional controls (CVE-2021-42574), tag characters, variation selectors
# beyond the emoji one, and the fillers that render as nothing.
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")


def first_hidden(text: str) -> int | None:
    """The offset of the first hidden or bidirectional control character, or `None`."""
    match = _HIDDEN.search(text)
    return match.start() if match else None


def strip_hidden(text: str) -> tuple[str, int]:
    """`text` without hidden characters, and how many there were."""
    return _HIDDEN.subn("", text)


def visible(text: str) -> str:
    """`text` on one line with control and hidden characters written as escapes, for a terminal or a log."""
    escaped = _CONTROL.sub(_escape, _HIDDEN.sub(_escape, text))
    return escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def _escape(match: re.Match[str]) -> str:
    return f"<U+{ord(match.group()):04X}>"
