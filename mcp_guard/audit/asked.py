"""Decisions on record, and the questions they answered, put together again from a record and what stands beside it.

A log is read here that somebody may have written by hand: whatever does not fit is said, and never guessed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import orjson

from mcp_guard.audit.commitment import matches
from mcp_guard.audit.pseudonyms import pseudonyms_in
from mcp_guard.audit.record import INPUTS
from mcp_guard.model.context import to_request
from mcp_guard.model.decision import AccessRequest, Decision
from mcp_guard.secrets.redact import REDACTED
from mcp_guard.store.scan import Scan
from mcp_guard.store.side import unpack
from mcp_guard.store.values import Side

Lacking = Literal["no_inputs", "erased", "altered", "unreadable"]
"""Why there is no question: from before inputs were kept; erased; not what was committed to; not the guard's."""

LACKING: Mapping[str, str] = {
    "no_inputs": "it was recorded before the inputs of decisions were kept",
    "erased": "its inputs were erased",
    "altered": "what stands beside the record is not what the record committed to",
    "unreadable": "the record is none this version could have written",
}

Place = tuple[str, ...]
_NO_NAMES: Mapping[str, str] = {}
_MASKED = b'"sensitive"'
_END = 2**53


class _Unfit(Exception):
    def __init__(self, lacking: Lacking) -> None:
        super().__init__(lacking)
        self.lacking: Lacking = lacking


@dataclass(frozen=True, slots=True)
class Asked:
    """One decision on record.

    `request` is the question, without it `lacking` says why. `arguments` are those of the call also where its list
    decision is the one on record, as in observe mode. `unknown` names the values below `r.ctx` that are not
    what policy saw: sensitive ones, of which only a commitment is kept, and redacted ones. `decision` is missing only
    where the record is unreadable.
    """

    n: int
    t: int
    call: str
    tool: str
    decision: Decision | None = None
    request: AccessRequest | None = None
    lacking: Lacking | None = None
    arguments: Mapping[str, object] | None = None
    unknown: tuple[Place, ...] = ()


class _Value(NamedTuple):
    value: Mapping[str, object]
    unknown: list[Place]


def asked(record: Mapping[str, object], packed: bytes, names: Mapping[str, str] = _NO_NAMES) -> Asked | None:
    """The decision on a record, given what stands beside it (packed; empty for nothing), and who is meant by the
    pseudonyms in it. `None` where it holds none."""
    if "decision" not in record:
        return None
    found = Asked(_number(record, "_n"), _number(record, "_t"), _word(record, "call"), _word(record, "tool"))
    try:
        decision = Decision.from_record(_mapping(_named(record["decision"], names)))
    except (ValueError, _Unfit):
        return _with(found, lacking="unreadable")
    try:
        request, arguments, unknown = _question(record, packed, names)
    except _Unfit as error:
        return _with(found, decision, lacking=error.lacking)
    except (ValueError, RecursionError):  # nested deeper than anybody's record
        return _with(found, decision, lacking="unreadable")
    return Asked(found.n, found.t, found.call, found.tool, decision, request, None, arguments, unknown)


def decisions(path: Path, since: int = 0, until: int | None = None) -> Iterator[Asked]:
    """Every decision in the log of a store, oldest first; times in unix µs, `until` exclusive.

    Reads as `store.scan` does. Raises `StoreUnavailable`.
    """
    with Scan(path) as scan:
        names = scan.names()
        for chunk in scan.chunks(scan.first_since(since) if since else 0):
            beside = scan.sides(chunk[0][0], chunk[-1][0] + 1)
            for n, line in chunk:
                record = _record(n, line)
                if until is not None and _number(record, "_t") >= until:
                    return
                found = asked(record, beside.get(n, b""), names)
                if found is not None:
                    yield found


def _record(n: int, line: bytes) -> Mapping[str, object]:
    """The record on a line; one that is no record counts as a decision that cannot be read, where it stands."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = None
    return record if isinstance(record, dict) else {"_n": n, "decision": None}


def _with(found: Asked, decision: Decision | None = None, *, lacking: Lacking) -> Asked:
    return Asked(found.n, found.t, found.call, found.tool, decision, None, lacking)


def _question(
    record: Mapping[str, object], packed: bytes, names: Mapping[str, str]
) -> tuple[AccessRequest, Mapping[str, object] | None, tuple[Place, ...]]:
    if INPUTS not in record:
        raise _Unfit("no_inputs")
    sides = {side.field: side for side in unpack(packed)}
    context = _beside(record, sides, INPUTS)
    listing = context.value.get("act") == "list"
    judged = "args" in record and record.get("code") != "args_invalid"
    found = _beside(record, sides, "args") if judged or not listing else None
    actor, tool = _readable(_mapping(record.get("actor")), names), record.get("tool")
    if not isinstance(tool, str):
        raise _Unfit("unreadable")
    arguments = None if found is None else found.value
    request = to_request(context.value, actor, tool, None if listing else arguments)
    unknown = [("args", *where) for where in found.unknown] if found else []
    return request, arguments, (*unknown, *(_in_condition(where) for where in context.unknown))


def _named(value: object, names: Mapping[str, str]) -> object:
    """A value with people in it by their names, as far as that is still known."""
    if not names:
        return value
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, Mapping):
        return {key: _named(part, names) for key, part in value.items()}
    return [_named(part, names) for part in value] if isinstance(value, list) else value


def _readable(actor: Mapping[str, object], names: Mapping[str, str]) -> Mapping[str, object]:
    """The actor by their names: policy knows nobody by a pseudonym."""
    if any(name not in names for name in pseudonyms_in(actor)):
        raise _Unfit("erased")
    read = {key: names.get(value, value) if isinstance(value, str) else value for key, value in actor.items()}
    chain = actor.get("chain")
    if not isinstance(chain, list):
        return read
    return read | {"chain": [names.get(hop, hop) if isinstance(hop, str) else hop for hop in chain]}


def _in_condition(where: Place) -> Place:
    """Where a condition reads what stands there in the inputs."""
    return ("subject", *where) if where[:1] == ("attributes",) else where


def _beside(record: Mapping[str, object], sides: Mapping[str, Side], field: str) -> _Value:
    if field not in record:
        raise _Unfit("unreadable")
    side = sides.get(field)
    if side is None or side.value is None:
        raise _Unfit("erased")
    if not matches(record[field], side.salt, side.value):
        raise _Unfit("altered")
    value = _mapping(orjson.loads(side.value))
    return _Value(value, _unknown(value) if _MASKED in side.value or REDACTED.encode() in side.value else [])


def _unknown(value: object) -> list[Place]:
    """Where commitments stand in place of values, and what was redacted. Without recursion: a value may be deep."""
    found: list[Place] = []
    waiting: list[tuple[Place, object]] = [((), value)]
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, dict):
            if _is_mask(part) or any(REDACTED in key for key in part):
                found.append(path)
            waiting += [((*path, key), child) for key, child in part.items()]
        elif isinstance(part, list):
            waiting += [((*path, str(index)), child) for index, child in enumerate(part)]
        elif isinstance(part, str) and REDACTED in part:
            found.append(path)
    return found


def _is_mask(part: Mapping[str, object]) -> bool:
    inner = part.get("sensitive")
    return len(part) == 1 and isinstance(inner, dict) and inner.keys() == {"c", "len"}


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _Unfit("unreadable")
    return value


def _number(record: Mapping[str, object], name: str) -> int:
    value = record.get(name)
    return value if type(value) is int and 0 <= value < _END else 0


def _word(record: Mapping[str, object], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""
