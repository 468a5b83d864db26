"""Replaying 10,000 decisions on record against other rules, beside only reading and parsing the same records."""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TypeVar

import orjson

from mcp_guard.audit.facts import CallFacts, Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.build import Definition, define, replay_policy
from mcp_guard.config.load import load
from mcp_guard.demo.home import SANDBOX_PORT, copy_home
from mcp_guard.identity.binding import bound
from mcp_guard.kit.clock import SystemClock, as_datetime
from mcp_guard.model.decision import AccessRequest
from mcp_guard.model.principal import Principal
from mcp_guard.secrets.redact import Redactor
from mcp_guard.store.scan import Scan
from mcp_guard.store.side import unpack
from mcp_guard.store.store import Store

DECISIONS = 10_000
_AT_ONCE = 500
_T = TypeVar("_T")


def _facts(definition: Definition, random: Random, number: int) -> CallFacts:
    """A refund of any size, or a look at an order, by Alice, as the pipeline would record it."""
    profile = definition.directory.profile("user:alice")
    who = Principal(
        "user:alice", "agent:local", "acme", "bearer", "token", scopes=profile.scopes, attributes=profile.attributes
    )
    name = random.choice(("orders_get", "payments_refund"))
    tool = definition.catalog[name].tool
    arguments: dict[str, object] = {"order_id": f"ORD-{number:04d}"}
    if name == "payments_refund":
        arguments |= {"amount": random.randrange(1, 8000), "reason": "it broke"}
    arguments |= bound(tool.bind, who)
    asked = AccessRequest(who, "call", name, as_datetime(1), arguments, definition.environment)
    decision = definition.policy.decide(asked)
    return CallFacts(f"{number:032x}", who, name, tool.fingerprint, arguments, tool.sensitive, None, decision, asked)


async def _fill(definition: Definition, decisions: int) -> None:
    store = Store.open(definition.home.store, "bench", clock=SystemClock())
    journal = Journal(store, redact=Redactor().value)
    random = Random(1)
    for first in range(0, decisions, _AT_ONCE):
        facts = [_facts(definition, random, number) for number in range(first, min(first + _AT_ONCE, decisions))]
        await asyncio.gather(*(journal.outcome(one, Ending("refused", "no", 1)) for one in facts))
    await journal.aclose()
    await store.aclose()


def _parse(path: Path) -> int:
    """The floor: every record and what stands beside it, read and parsed, nothing asked."""
    count = 0
    with Scan(path) as scan:
        for chunk in scan.chunks():
            beside = scan.sides(chunk[0][0], chunk[-1][0] + 1)
            for n, line in chunk:
                orjson.loads(line)
                count += sum(orjson.loads(side.value) is not None for side in unpack(beside[n]) if side.value)
    return count


def _timed(act: Callable[[], _T]) -> tuple[_T, float]:
    start = time.perf_counter()
    return act(), time.perf_counter() - start


def main(decisions: int = DECISIONS) -> dict[str, float]:
    """Fill a home's log, replay it, print a table, return it."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        home = copy_home(Path(folder).absolute() / "desk", SANDBOX_PORT)
        definition = define(load(home, environ={}))
        asyncio.run(_fill(definition, decisions))
        rules = home / "policy" / "other.csv"
        text = (home / "policy" / "policy.csv").read_text(encoding="utf-8")
        rules.write_text(text.replace("100", "200"), encoding="utf-8")
        _, floor = _timed(lambda: _parse(definition.home.store))
        same, in_force = _timed(lambda: replay_policy(definition, None, None, 0, None))
        other, with_rules = _timed(lambda: replay_policy(definition, rules, None, 0, None))
    if same.replayed != decisions or same.changes or not other.changes:
        raise AssertionError("a replay that does not say what is so is not worth measuring")
    found = {
        "decisions": decisions,
        "parse_s": floor,
        "in_force_s": in_force,
        "other_rules_s": with_rules,
        "us_each": in_force / decisions * 1e6,
        "x_parse": in_force / floor,
    }
    for name, value in found.items():
        print(f"{name:>15} {value:>10.2f}")
    return found


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
