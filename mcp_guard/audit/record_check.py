"""The thorough part of verification: every record parsed, canonical, complete, and true to what stands beside it."""

from collections.abc import Mapping

import orjson

from mcp_guard.audit.commitment import matches
from mcp_guard.kit import pointer, strict_json
from mcp_guard.store.side import unpack

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


class RecordCheck:
    """Feed it the records of a log in order; memory grows only with intents that wait for their outcome."""

    def __init__(self) -> None:
        self._waiting: set[int] = set()

    def feed(self, n: int, line: bytes, packed: bytes) -> str | None:
        """What is wrong with record `n`, given what stands beside it (packed; empty for nothing)."""
        record, what = check_record(line)
        if what is not None:
            return what
        if record["kind"] == "intent":
            self._waiting.add(n)
        elif record["kind"] == "outcome" and "of" in record:
            intent = record["of"]
            if not isinstance(intent, int) or intent not in self._waiting:
                return "it ends no open intent: there is none with that number, or it was ended before"
            self._waiting.remove(intent)
        return check_sides(record, packed)


def check_record(line: bytes) -> tuple[Mapping[str, object], str | None]:
    """The record on a line, and what is wrong with its form."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}, "it is not JSON"
    if not isinstance(record, dict) or strict_json.dumps(record) != line:
        return {}, "it is not canonical JSON"
    kind = record.get("kind")
    required = _REQUIRED.get(kind) if isinstance(kind, str) else None
    if record.get("v") != 1 or required is None:
        return record, "it is of a kind or version that is not known"
    if kind == "outcome" and "of" not in record:
        required |= _WITHOUT_INTENT
    missing = sorted((_ALWAYS | required) - record.keys())
    return record, f"it lacks {missing[0]}" if missing else None


def check_sides(record: Mapping[str, object], packed: bytes) -> str | None:
    """What is wrong between a record's commitments and the values beside it. What was erased is not wrong."""
    try:
        values = {field: (salt, value) for field, salt, value in unpack(packed)}
    except ValueError:
        return "what stands beside it cannot be read"
    for field, (salt, value) in values.items():
        name, slash, rest = field.partition("/")
        if name not in record:
            return f"a value called {name} stands beside it, which it does not know"
        if value is not None and not matches(_commitment(record, values, name, slash + rest), salt, value):
            return f"the value of {field} beside it is not the one it was made with"
        if slash and value is None and name in values and _commitment(record, values, name, slash + rest) is None:
            return f"a salt for {field} stands beside it, which its value does not know"
    return None


def _commitment(
    record: Mapping[str, object], values: Mapping[str, tuple[bytes, bytes | None]], name: str, where: str
) -> object:
    """The commitment a side row answers to: the record's own, or the one inside the value beside it."""
    if not where:
        return record[name]
    data = values[name][1] if name in values else None
    if data is None:
        return None
    part = pointer.get(orjson.loads(data), where)
    return part.get("sensitive") if isinstance(part, dict) else None
