"""Where a call belongs in somebody's distributed trace (W3C Trace Context, level 1)."""

import os
import re
from dataclasses import dataclass

_LENGTH = 55
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class Trace:
    """`id` is the trace id, 32 hex digits; `parent` the caller's span, 16; `sampled` whether the caller recorded it."""

    id: str
    parent: str
    sampled: bool

    def onward(self) -> str:
        """The `traceparent` of a request made on behalf of this one: the same trace, a new span."""
        return f"00-{self.id}-{_new_span()}-{int(self.sampled):02x}"


def parse(value: object) -> Trace | None:
    """A `traceparent` value (section 3.2), or `None` for anything that is not one: such a value is as good as none.

    Of later versions the part that version 00 defines is read (section 3.2.4).
    """
    if not isinstance(value, str):
        return None
    match = _TRACEPARENT.fullmatch(value[:_LENGTH])
    if match is None:
        return None
    version, trace, parent, flags = match.groups()
    rest = value[_LENGTH:]
    if version == "ff" or (rest and (version == "00" or not rest.startswith("-"))):
        return None
    if not trace.strip("0") or not parent.strip("0"):
        return None
    return Trace(trace, parent, bool(int(flags, 16) & _SAMPLED))


def _new_span() -> str:
    while True:
        span = os.urandom(8).hex()
        if span.strip("0"):  # all zeros is not a span
            return span
