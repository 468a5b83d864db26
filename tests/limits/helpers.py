"""Calls and limits as tests write them."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

from mcp_guard.limits.limits import Limits
from mcp_guard.limits.reached import Reached
from mcp_guard.limits.use import Call, Use
from mcp_guard.manifest.limits import repeat
from mcp_guard.model import limit_text
from mcp_guard.model.limit import Cost, Limit
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import PythonSpec, Retry, Tool
from mcp_guard.store.store import Store
from mcp_guard.store.values import Unit

ALICE = Principal("user:alice", "agent:local", "acme", "bearer", "token")
_READ = {
    "rate": limit_text.rate,
    "quota": limit_text.quota,
    "budget": limit_text.budget,
    "concurrency": limit_text.concurrency,
    "repeat": repeat,
}
_numbers = iter(range(10**9))


def limit(text: str, source: str = "rule:r") -> Limit:
    """`rate=3/minute/who` as a limit."""
    kind, _, value = text.partition("=")
    return replace(_READ[kind](value), source=source)


def tool(cost: Cost | None = None, name: str = "work") -> Tool:
    return Tool(
        name=name, title=None, description="d", annotations={}, tags=(), effects="once", scopes=frozenset(),
        input_schema={}, arguments_schema={}, output_schema=None, bind={}, sensitive=(), timeout=10.0, retry=Retry(),
        idempotency_header=None, justification="none", connector=PythonSpec("python", "a:b"), fingerprint="f",
        cost=cost,
    )  # fmt: skip


def call(
    *limits: str,
    who: Principal = ALICE,
    cost: Cost | None = None,
    arguments: Mapping[str, object] | None = None,
    of: str | None = None,
    name: str = "work",
) -> Call:
    """A call under these limits; `of` is the step of a task it belongs to."""
    number = f"{next(_numbers):032x}"
    return Call(of or number, number, who, tool(cost, name), arguments or {}, tuple(map(limit, limits)))


def limits_on(store: Store, *common: Limit) -> Limits:
    return Limits(store, lambda: common, lambda data: sha256(data).hexdigest())


async def passes(limits: Limits, asked: Call) -> Use | Reached:
    """Reserve; the use, or what was in the way."""
    use = limits.use(asked)
    assert use is not None
    try:
        await limits.reserve(use)
    except Reached as reached:
        return reached
    return use


async def ends(
    limits: Limits, use: Use | Reached, cost: int | None = None, *, done: bool | None, again: bool = False
) -> None:
    assert isinstance(use, Use)
    work = limits.settling(use, cost if cost is not None else use.cost, done=done, again=again)
    await limits.store.writer.submit(Unit((), work=work))
