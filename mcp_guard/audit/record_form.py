"""The form of every record: canonical, of a known kind, complete, and every outcome the end of one open intent.

Standard library and pure modules only: these lines are also part of the stand-alone verifier.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

from mcp_guard.kit.nesting import is_deeper

Record = dict[str, object]
Parse = Callable[[bytes], Record | None]
"""The record on a line, or `None` where it is no object in canonical JSON (RFC 8785). Never asked about a
line that is nested deeper than `MOST_LEVELS`."""

_ALWAYS = frozenset({"_n", "_p", "_t", "v", "kind", "boot"})
_REQUIRED: Mapping[str, frozenset[str]] = {
    "intent": frozenset({"actor", "call", "tool", "decision"}),
    "outcome": frozenset({"call", "status", "executed", "us"}),
    "approval": frozenset({"actor", "call", "approval", "verdict"}),
    "task": frozenset({"state"}),
    "config": frozenset({"state"}),
    "boot": frozenset({"state"}),
    "shutdown": frozenset({"state"}),
    "key": frozenset({"state"}),
    "anchor": frozenset({"state"}),
    "erase": frozenset({"state"}),
    "prune": frozenset({"state"}),
    "fault": frozenset({"state"}),
    "read": frozenset({"actor", "state"}),
}
_WITHOUT_INTENT = frozenset({"actor", "tool"})

NOT_CANONICAL = "it is not canonical JSON"
TOO_DEEP = "it is nested deeper than a record may be"
MOST_LEVELS = 64


class FormCheck:
    """Feed it the records from number `first` on in order; memory grows only with intents that wait for their outcome.

    `waiting` are the intents among them without an outcome. `elsewhere` are the outcomes `(n, intent)` of intents
    before `first`: whether those were open is for whoever knows the records before to say.
    """

    NO_INTENT: ClassVar[str] = "it ends no open intent: there is none with that number, or it was ended before"

    def __init__(self, parse: Parse, first: int = 0) -> None:
        self.waiting: set[int] = set()
        self.elsewhere: list[tuple[int, int]] = []
        self._parse = parse
        self._first = first

    def feed(self, n: int, line: bytes) -> tuple[Record, str | None]:
        """The record `n`, and what is wrong with it."""
        if is_deeper(line, MOST_LEVELS):
            return {}, TOO_DEEP
        record = self._parse(line)
        if record is None:
            return {}, NOT_CANONICAL
        what = _check_fields(record)
        if what is None and record["kind"] == "intent":
            self.waiting.add(n)
        elif what is None and record["kind"] == "outcome" and "of" in record:
            what = self._end(n, record["of"])
        return record, what

    def _end(self, n: int, intent: object) -> str | None:
        if type(intent) is not int:
            return self.NO_INTENT
        if 0 <= intent < self._first:
            self.elsewhere.append((n, intent))
        elif intent in self.waiting:
            self.waiting.remove(intent)
        else:
            return self.NO_INTENT
        return None


def _check_fields(record: Record) -> str | None:
    kind = record.get("kind")
    required = _REQUIRED.get(kind) if isinstance(kind, str) else None
    if record.get("v") != 1 or required is None:
        return "it is of a kind or version that is not known"
    if kind == "outcome" and "of" not in record:
        required |= _WITHOUT_INTENT
    missing = sorted((_ALWAYS | required) - record.keys())
    return f"it lacks {missing[0]}" if missing else None
