"""Whether a record is true to what stands beside it: its commitments and the values they were made from."""

from collections.abc import Mapping

import orjson

from mcp_guard.audit.commitment import matches
from mcp_guard.kit import pointer
from mcp_guard.store.side import unpack


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
