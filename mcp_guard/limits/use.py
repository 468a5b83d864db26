"""What one call would use of the limits that hold for it, worked out before anything is asked of the store."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from mcp_guard.kit import pointer, strict_json
from mcp_guard.kit.text import strip_hidden
from mcp_guard.model import limit_text
from mcp_guard.model.limit import CALENDAR, CALLS, EACH, MILLION, MOST, Cost, Each, Limit
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import Tool, WorkflowSpec

MARGIN_S = 60.0
"""Seconds a running call is counted beyond what its tool may take."""


class CostUnknown(Exception):
    """The arguments do not say what the call costs. `message` names the argument and no value."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Place(NamedTuple):
    """Where use is counted together: a limit's source (empty for what is spent, by whatever limit), and whose."""

    source: str
    each: Each
    tenant: str
    name: str

    def as_row(self) -> dict[str, str]:
        return {"source": self.source, "each": self.each, "tenant": self.tenant, "name": self.name}


class Charge(NamedTuple):
    """What a use adds to a counter of a day or month (millionths), and the limits on it."""

    counter: str
    calendar: str
    amount: int
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Use:
    """One use. `id` is the call's, or the step's of a task over all its attempts; `call` the attempt's.

    `cost` is what is reserved in `unit`, where the tool has a cost. `lease_us` is how long a call may run at most.
    """

    id: str
    call: str
    charges: tuple[Charge, ...]
    rates: tuple[tuple[Limit, Place], ...]
    slots: tuple[tuple[Limit, Place], ...]
    repeats: tuple[tuple[Limit, str], ...]
    lease_us: int
    cost: int | None = None

    @property
    def holds(self) -> bool:
        """Whether there is something to see to at its end."""
        return bool(self.charges or self.slots or self.id != self.call)


@dataclass(frozen=True, slots=True)
class Call:
    """A call as far as limits are concerned. `id` is as in `Use`; `limits` are those of its decision."""

    id: str
    call: str
    principal: Principal
    tool: Tool
    arguments: Mapping[str, object]
    limits: tuple[Limit, ...]


def use_of(call: Call, common: Iterable[Limit], digest: Callable[[bytes], str]) -> Use | None:
    """What a call would use; `None` where nothing limits it and it costs nothing. Raises `CostUnknown`.

    `common` are the limits over all tools, `digest` is keyed.
    """
    every = (*call.tool.limits, *call.limits, *common)
    limits = list({(limit.source, limit): limit for limit in every}.values())  # of several hops one rule may be named
    cost = call.tool.cost
    if not limits and cost is None:
        return None
    amount = None if cost is None else reserved(cost, call.arguments)
    runs = not isinstance(call.tool.connector, WorkflowSpec)  # of a workflow each step runs by itself
    kinds = {kind: [limit for limit in limits if limit.kind == kind] for kind in ("rate", "concurrency", "repeat")}
    alike = digest(alike_text(call)) if kinds["repeat"] else ""
    return Use(
        id=call.id,
        call=call.call,
        charges=(*_quotas(call, limits), *_spending(call, limits, amount)),
        rates=tuple((limit, place) for limit in kinds["rate"] for place in places(limit, call)),
        slots=tuple((limit, place) for limit in kinds["concurrency"] for place in places(limit, call) if runs),
        repeats=tuple((limit, alike) for limit in kinds["repeat"]),
        lease_us=int(_longest(call.tool) * 1_000_000),
        cost=amount,
    )


def counter_key(place: Place, unit: str, calendar: str) -> str:
    """What a counter is called in the store: its parts percent-encoded, so that none can be taken for another."""
    return f"{_written(place)} {unit} {calendar}"


@lru_cache(maxsize=1024)
def _written(place: Place) -> str:
    return " ".join(quote(part, safe=":@._+-") for part in place)


def counter_of(key: str) -> tuple[Place, str, str]:
    """What `counter_key` was given."""
    *parts, unit, calendar = key.split(" ")
    source, each, tenant, name = map(unquote, parts)
    return Place(source, next(one for one in EACH if one == each), tenant, name), unit, calendar


def reserved(cost: Cost, arguments: Mapping[str, object]) -> int:
    """What is reserved for a call (millionths). Raises `CostUnknown`: a cost nobody knows is none that may be made."""
    if cost.amount is not None or cost.at_most is not None:
        return cost.amount if cost.amount is not None else cost.at_most or 0
    if cost.argument is not None:
        try:
            return limit_text.amount(arguments.get(cost.argument))
        except ValueError as error:
            raise CostUnknown(f"{pointer.join([cost.argument])}: {error}, because it is what the call costs") from None
    assert cost.count_of is not None
    items = arguments.get(cost.count_of)
    if not isinstance(items, list):
        raise CostUnknown(
            f"{pointer.join([cost.count_of])}: expected a list, because its items are what the call costs"
        )
    return len(items) * MILLION


def reported(cost: Cost, result: object) -> int | None:
    """What a result says the call cost (millionths); `None` where it says nothing that can be charged."""
    try:
        return None if cost.reported is None else limit_text.amount(pointer.get(result, cost.reported))
    except ValueError:
        return None


def places(limit: Limit, call: Call, source: str | None = None) -> list[Place]:
    """Where a limit counts a call. An agent's limit holds for every hop of a delegation."""
    who, source = call.principal, limit.source if source is None else source
    match limit.each:
        case "who":
            return [Place(source, "who", who.tenant, who.subject)]
        case "via":
            return [Place(source, "via", who.tenant, hop) for hop in dict.fromkeys((who.client, *who.chain))]
        case "tenant":
            return [Place(source, "tenant", who.tenant, "")]
        case "tool":
            return [Place(source, "tool", who.tenant, call.tool.name)]
    return [Place(source, "all", "", "")]


def alike_text(call: Call) -> bytes:
    """What two calls have in common that are the same call, however their arguments are written."""
    who = call.principal
    return strict_json.dumps(
        ["repeat", who.tenant, who.subject, who.client, list(who.chain), call.tool.name, _plain(call.arguments)]
    )


def _plain(value: object) -> object:
    """A value as it reads: without hidden characters, in one form of each letter, 1.0 as 1."""
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", strip_hidden(value)[0]).split())
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(child) for key, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list) else value


def _quotas(call: Call, limits: Iterable[Limit]) -> Iterator[Charge]:
    for limit in limits:
        if limit.kind == "quota":
            for place in places(limit, call):
                yield Charge(counter_key(place, CALLS, limit.window), limit.window, MILLION, (limit,))


def _spending(call: Call, limits: Iterable[Limit], amount: int | None) -> Iterator[Charge]:
    """What a cost adds to every sum that somebody may limit or ask for, whether they do today or not."""
    if not amount:
        return
    assert call.tool.cost is not None
    unit = call.tool.cost.unit
    budgets = [limit for limit in limits if limit.kind == "budget" and limit.unit == unit]
    for each in EACH:
        for calendar in CALENDAR:
            on = tuple(limit for limit in budgets if (limit.each, limit.window) == (each, calendar))
            for place in places(Limit("budget", MOST, calendar, each), call, ""):
                yield Charge(counter_key(place, unit, calendar), calendar, amount, on)


def _longest(tool: Tool) -> float:
    """Seconds a call of a tool may take with all its attempts, and with people who are asked meanwhile."""
    retry = tool.retry
    attempts = retry.attempts * (tool.timeout + 1.0) + (retry.attempts - 1) * retry.max_backoff
    return attempts + tool.patience + MARGIN_S
