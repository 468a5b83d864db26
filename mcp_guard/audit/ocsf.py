"""Records as OCSF events, for whoever collects events of many products: class API Activity, 6003 (schema.ocsf.io).

Each record is one event. An outcome is the call, with what its intent said; its intent is an event of its own, `Begin`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

import orjson

from mcp_guard import __version__
from mcp_guard.audit.export import Take, Taken
from mcp_guard.store.scan import Numbered

SCHEMA_VERSION: Final = "1.5.0"
CLASS: Final = 6003
CATEGORY: Final = 6
_OTHER: Final = 99
_PRODUCT: Final = {"name": "mcp-guard", "vendor_name": "mcp-guard", "version": __version__}

_ACTIVITIES: Final = {
    "intent": (_OTHER, "Begin"),
    "outcome": (_OTHER, "Call"),
    "read": (2, "Read"),
    "config": (3, "Update"),
    "erase": (4, "Delete"),
    "prune": (4, "Delete"),
}
_STATUSES: Final = {"ok": (1, "Success"), "unknown": (0, "Unknown")}
_FAILURE: Final = (2, "Failure")
_INFORMATIONAL, _LOW, _MEDIUM = (1, "Informational"), (2, "Low"), (3, "Medium")
_SEVERITIES: Final = {"ok": _INFORMATIONAL, "refused": _LOW, "cancelled": _LOW}
_USER_TYPES: Final = {"user": (1, "User"), "operator": (2, "Admin"), "service": (3, "System")}

_MAPPED: Final = frozenset({"_n", "_p", "_t", "call", "decision", "tool"})
"""What has its place in an event; the rest of a record stands under `unmapped` as it is."""


class Ocsf:
    """One event a line (JSON Lines)."""

    def __init__(self, to: BinaryIO, *, origin: str) -> None:
        self._to = to
        self._origin = origin

    def write(self, records: Sequence[Numbered], take: Take) -> None:
        events = (event(taken, self._origin) for taken in take(records))
        self._to.write(b"".join([orjson.dumps(found) + b"\n" for found in events]))

    def finish(self) -> None:
        pass


def event(taken: Taken, origin: str) -> dict[str, object]:
    """One record of the log `origin` as an event. Times are unix milliseconds, as the schema wants them."""
    record = taken.record
    activity, name = _ACTIVITIES.get(record["kind"], (_OTHER, str(record["kind"]).capitalize()))
    severity, severity_name = _severity(record)
    found: dict[str, object] = {
        "activity_id": activity,
        "activity_name": name,
        "actor": _actor(record),
        "api": _api(record),
        "category_name": "Application Activity",
        "category_uid": CATEGORY,
        "class_name": "API Activity",
        "class_uid": CLASS,
        "metadata": _metadata(record, origin),
        "severity": severity_name,
        "severity_id": severity,
        "src_endpoint": {"name": str(_part(record, "actor").get("via", "mcp-guard"))},
        "time": record["_t"] // 1000,
        "type_name": f"API Activity: {name}",
        "type_uid": CLASS * 100 + activity,
        "unmapped": _unmapped(taken),
    }
    if "tool" in record:
        found["resources"] = [{"name": record["tool"], "type": "tool"}]
    return found | _ending(record)


def _metadata(record: Mapping[str, Any], origin: str) -> dict[str, object]:
    n = record["_n"]
    found = {"log_name": origin, "product": _PRODUCT, "sequence": n, "uid": f"{origin}/{n}", "version": SCHEMA_VERSION}
    tenant = _part(record, "actor").get("tenant")
    found |= {"tenant_uid": tenant} if tenant else {}
    return found | ({"correlation_uid": record["call"]} if "call" in record else {})


def _actor(record: Mapping[str, Any]) -> dict[str, object]:
    actor = _part(record, "actor")
    if not actor:
        return {"app_name": "mcp-guard"}
    subject = str(actor.get("sub", ""))
    kind, name = _USER_TYPES.get(subject.partition(":")[0], (0, "Unknown"))
    user = {"uid": subject, "name": subject.partition(":")[2], "type_id": kind, "type": name}
    return {"user": user, "app_name": str(actor.get("via", ""))}


def _api(record: Mapping[str, Any]) -> dict[str, object]:
    what = _part(record, "state").get("what", record.get("verdict"))
    operation = record.get("tool") or (f"{record['kind']}.{what}" if what else record["kind"])
    found: dict[str, object] = {"operation": operation, "service": {"name": "mcp-guard"}}
    if "call" in record:
        found["request"] = {"uid": record["call"]}
    return found | ({"response": {"error": record["code"]}} if "code" in record else {})


def _ending(record: Mapping[str, Any]) -> dict[str, object]:
    status = record.get("status")
    if status is None:
        return {}
    number, name = _STATUSES.get(str(status), _FAILURE)
    found: dict[str, object] = {"status_id": number, "status": name, "status_code": record.get("code", status)}
    if isinstance(us := record.get("us"), int):
        found["duration"] = us // 1000
    reason = _part(record, "decision").get("reason")
    return found | ({"status_detail": reason} if reason else {})


def _severity(record: Mapping[str, Any]) -> tuple[int, str]:
    if record["kind"] == "fault":
        return _MEDIUM
    return _SEVERITIES.get(str(record["status"]), _MEDIUM) if "status" in record else _INFORMATIONAL


def _unmapped(taken: Taken) -> dict[str, object]:
    record = taken.record
    rest = {name: value for name, value in record.items() if name not in _MAPPED}
    found = {"n": record["_n"], "leaf": taken.leaf, **_part(record, "decision"), **rest}
    return found if taken.values is None else found | {"values": taken.values}


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}
