"""Records as rows for people."""

from collections.abc import Mapping
from typing import Any

from mcp_guard.kit.clock import as_datetime

COLUMNS = ("n", "time", "kind", "actor", "via", "tool", "effect", "rule", "status", "code")


def cells(record: Mapping[str, Any]) -> tuple[object, ...]:
    """What a row says of a record; an outcome of an intent has no actor and tool of its own. What is no call says
    what happened where calls say how they ended."""
    actor, decision, names = record.get("actor", {}), record.get("decision", {}), record.get("names", {})
    return (
        record["_n"],
        as_datetime(record["_t"]).strftime("%Y-%m-%d %H:%M:%S"),
        record["kind"],
        names.get(actor.get("sub"), actor.get("sub")),
        actor.get("via"),
        record.get("tool"),
        f"{record['would']} (observed)" if "would" in record else decision.get("effect"),
        decision.get("rule"),
        record.get("status"),
        record.get("code", record.get("state", {}).get("what")),
    )
