"""The record of each kind, as contract 6 lists its fields: values in, canonical bytes out.

The bytes lack `_n`, `_p` and `_t`, which the writer puts in front. Only strings, integers and containers of them are
written, with ASCII keys, so that orjson's bytes are RFC 8785's.
"""

from collections.abc import Mapping
from typing import Literal

from mcp_guard.audit.commitment import Commitment
from mcp_guard.audit.facts import CallFacts, Ending
from mcp_guard.kit import strict_json
from mcp_guard.model.back_channel import Asked
from mcp_guard.model.principal import Principal
from mcp_guard.store.values import Ids, Traits

VERSION = 1
LONGEST_NAME = 256
"""A tool's name may come from a stranger; this much of it is recorded."""
LARGEST_INTEGER = 2**53 - 1
"""RFC 8785 section 3.2.2.3: what every reader of JSON keeps exactly."""

INPUTS = "ctx"
"""The inputs of a decision beyond actor, tool and arguments (`model.context`), committed to under this name."""

StateKind = Literal["config", "boot", "shutdown", "fault", "read", "task", "key", "anchor", "erase", "prune"]
Fields = dict[str, object]


def intent(boot: str, facts: CallFacts, commitments: Mapping[str, Commitment]) -> bytes:
    """What is about to be done, by whom and why it may. Raises `ValueError` where nothing was decided."""
    if facts.decision is None:
        raise ValueError("nothing is done without a decision")
    record: Fields = {"v": VERSION, "kind": "intent", "boot": boot} | _ids(facts) | _head(facts) | dict(commitments)
    if facts.grant is not None:
        record["grant"] = facts.grant
    return _bytes(record)


def outcome(
    boot: str, facts: CallFacts, ending: Ending, of: int | None, commitments: Mapping[str, Commitment]
) -> bytes:
    """How a call ended. Without an intent (`of` is `None`) it also says what an intent would have said."""
    record: Fields = {"v": VERSION, "kind": "outcome", "boot": boot} | _ids(facts) | _ending(ending)
    if of is None:
        record |= _head(facts)
    else:
        record["of"] = of
    return _bytes(record | dict(commitments))


def traits(kind: Literal["intent", "outcome"], facts: CallFacts, ending: Ending | None = None) -> Traits:
    """What the record of a call is found by: the same as its line, with that of its intent, says."""
    who, decision = facts.principal, facts.decision
    effect, rule, reason = (None,) * 3 if decision is None else (decision.effect.value, decision.rule, decision.reason)
    status, code = (None, None) if ending is None else (ending.status, ending.code)
    hidden = "yes" if kind == "outcome" and facts.fingerprint is None else None
    tool = facts.tool[:LONGEST_NAME]
    would = None if facts.would is None else facts.would.value
    return Traits(kind, who.subject, who.client, who.tenant, tool, effect, rule, reason, status, code, hidden, would)


def ids(facts: CallFacts) -> Ids:
    """The ids the record of a call is found by."""
    return Ids(facts.call, facts.task, facts.trace)


def approval(boot: str, actor: Principal, about: Mapping[str, object]) -> bytes:
    """What was asked of people, or what they said. `about` are the fields of contract 6 beside the actor: `call`,
    `task`, `step`, `approval`, `verdict`, `binds`; where somebody decided `channel`, `ms` and perhaps `hasty`, where it
    was escalated `to` whom, where a grant was made or revoked `grant`."""
    check_profile(about)
    return _bytes({"v": VERSION, "kind": "approval", "boot": boot, "actor": actor.as_actor()} | dict(about))


def orphan(boot: str, intent_record: Mapping[str, object], now_us: int) -> bytes:
    """The outcome of an intent whose process died: nobody knows."""
    started = intent_record["_t"]
    assert isinstance(started, int)
    record: Fields = {
        name: intent_record[name] for name in ("call", "task", "step", "attempt", "trace") if name in intent_record
    }
    record |= {"v": VERSION, "kind": "outcome", "boot": boot, "of": intent_record["_n"]}
    return _bytes(record | {"status": "unknown", "executed": "unknown", "us": max(0, now_us - started)})


def state(boot: str, kind: StateKind, value: Mapping[str, object], actor: Principal | None = None) -> bytes:
    """A record about the guard itself. Raises `TypeError` for values outside the profile."""
    check_profile(value)
    record: Fields = {"v": VERSION, "kind": kind, "boot": boot, "state": dict(value)}
    if actor is not None:
        record["actor"] = actor.as_actor()
    return _bytes(record)


def check_profile(value: object) -> None:
    """Raise `TypeError` for anything RFC 8785 and orjson could write differently: floats, large integers, odd keys."""
    if isinstance(value, str):
        return
    if isinstance(value, int):
        _whole(value)
    elif isinstance(value, Mapping):
        for key, child in value.items():
            if not (isinstance(key, str) and key.isascii()):
                raise TypeError("a record's keys are ASCII strings")
            check_profile(child)
    elif isinstance(value, list | tuple):
        for child in value:
            check_profile(child)
    else:
        raise TypeError(f"a record holds strings and integers, not {type(value).__name__}")


def _ids(facts: CallFacts) -> Fields:
    found: Fields = {"call": facts.call}
    for name, value in (("task", facts.task), ("step", facts.step), ("attempt", facts.attempt), ("trace", facts.trace)):
        if value is not None:
            found[name] = value
    if facts.dry_run:
        found["dry_run"] = 1
    if facts.completes:
        found["completes"] = 1
    return found


def _head(facts: CallFacts) -> Fields:
    found: Fields = {"actor": facts.principal.as_actor(), "tool": facts.tool[:LONGEST_NAME]}
    if facts.fingerprint is not None:
        found["fp"] = facts.fingerprint
    if facts.decision is not None:
        found["decision"] = facts.decision.as_record()
    if facts.would is not None:
        found["would"] = facts.would.value
    return found


def _ending(ending: Ending) -> Fields:
    found: Fields = {"status": ending.status, "executed": ending.executed, "us": _whole(ending.us)}
    if ending.code is not None:
        found["code"] = ending.code
    if ending.cost is not None:
        found["cost"] = _whole(ending.cost)
    if ending.limit is not None:
        found["limit"] = ending.limit
    for name, count in (("redacted", ending.redacted), ("stripped", ending.stripped)):
        if count:
            found[name] = _whole(count)
    if ending.asked:
        found["asked"] = [_asked(one) for one in ending.asked]
    return found


def _asked(asked: Asked) -> Fields:
    found: Fields = {"what": asked.what, "as": asked.how}
    if asked.why:
        found["why"] = asked.why
    if asked.ms is not None:
        found["ms"] = _whole(asked.ms)
    if asked.times > 1:
        found["times"] = _whole(asked.times)
    return found


def _whole(number: object) -> int:
    if type(number) is not int or not -LARGEST_INTEGER <= number <= LARGEST_INTEGER:
        raise TypeError("a record holds whole numbers of at most 53 bits only")
    return number


def _bytes(record: Fields) -> bytes:
    return strict_json.dumps(record)
