"""What readers who may not read everything are told of a record: nothing tells whether there are tools that are hidden
from them (I6), or what else than the call a decision depended on. The stored line keeps everything for those who read
all."""

from collections.abc import Mapping
from typing import Final

from mcp_guard.audit.listings import WITHHOLDING
from mcp_guard.audit.record import INPUTS
from mcp_guard.model.decision import NO_SUCH_TOOL, RULE_DEFAULT
from mcp_guard.model.disclosure import Disclosure, disclosed
from mcp_guard.store.facets import traits

DECIDED: Final[Mapping[str, str]] = {"effect": "deny", "rule": RULE_DEFAULT, "reason": NO_SUCH_TOOL}
"""What is told to have been decided about a call that found no tool, whether it is hidden or not there."""


def as_told(record: Mapping[str, object], how: Disclosure) -> dict[str, object]:
    """A record as its own caller may see it, who is told `how` much of decisions."""
    record = _without_inputs(record)
    if how != "why" and str(record.get("limit", "")).startswith("rule:"):
        del record["limit"]  # what a rule limits is part of its reason
    state, decision = record.get("state"), record.get("decision")
    if record.get("kind") == "read" and isinstance(state, dict):
        left_out = {*WITHHOLDING, "rule"} if how == "code" else WITHHOLDING
        return {**record, "state": {name: value for name, value in state.items() if name not in left_out}}
    if traits(record).hidden is None:
        return {**record, "decision": disclosed(decision, how)} if isinstance(decision, dict) else record
    policy = decision.get("policy") if isinstance(decision, dict) else None
    return {**record, "decision": {**DECIDED, "policy": policy}}


def _without_inputs(record: Mapping[str, object]) -> dict[str, object]:
    found = {name: value for name, value in record.items() if name != INPUTS}
    values, erased = record.get("values"), record.get("erased")
    if isinstance(values, dict):
        found["values"] = {name: value for name, value in values.items() if name != INPUTS}
    if isinstance(erased, list):
        found["erased"] = [name for name in erased if name != INPUTS]
    return found
