"""People, calls and logs for audit tests."""

import shutil
from pathlib import Path

import orjson

from mcp_guard.audit.facts import CallFacts, Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.model.chain import Tail
from mcp_guard.model.decision import Decision, Effect
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from tests.store.helpers import lines

ALLOW = Decision(Effect.ALLOW, "refund-small", "refunds up to 100 need no second person", "ab" * 32)
DENY = Decision(Effect.DENY, "refund-limit", "nobody refunds more than 5000", "ab" * 32)
OK = Ending("ok", "yes", 1234, result={"refund": "R-1"}, has_result=True)
REFUSED = Ending("refused", "no", 56, code="policy_denied")


def person(name: str = "alice", tenant: str = "acme") -> Principal:
    return Principal(f"user:{name}", "agent:desktop", tenant, "bearer", "token")


def facts(
    call: str = "c1", who: Principal | None = None, tool: str = "payments_refund", decision: Decision | None = ALLOW
) -> CallFacts:
    return CallFacts(
        call=call,
        principal=who or person(),
        tool=tool,
        fingerprint="cd" * 32,
        arguments={"order_id": "ORD-1234", "amount": 12.5, "reason": "the customer's secret"},
        sensitive=("/reason",),
        justification="the customer asked",
        decision=decision,
    )


async def tell_story(journal: Journal, acts: int = 4) -> None:
    """A boot, some acts with intents, a refusal, a read, a shutdown."""
    await journal.boot({"version": "1"})
    for i in range(acts):
        told = facts(f"act-{i}")
        await journal.outcome(told, OK, await journal.intent(told))
    await journal.outcome(facts("refused", decision=DENY), REFUSED)
    await journal.read(person("bob"), {"what": "records", "count": 3})
    await journal.shutdown({})


async def story(path: Path, acts: int = 4) -> str:
    """A finished log at `path`; its origin."""
    store = Store.open(path, "test")
    journal = Journal(store)
    await tell_story(journal, acts)
    await journal.aclose()
    await store.aclose()
    return store.origin


def records(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in lines(path)]


def move(path: Path, to: Path) -> None:
    """Take a store away, or put it back, with everything SQLite keeps beside it."""
    to.parent.mkdir(parents=True, exist_ok=True)
    for suffix in ("", "-wal", "-shm"):
        if path.with_name(path.name + suffix).exists():
            shutil.move(path.with_name(path.name + suffix), to.with_name(to.name + suffix))


def sealed(bodies: list[bytes], origin: str) -> list[bytes]:
    """A log of these bodies with a chain that holds: what a forger with the file can always make."""
    tail = Tail.start(origin)
    found = []
    for body in bodies:
        line, tail = tail.seal(body, 0)
        found.append(line)
    return found
