"""One policy decision: ours against stock Casbin and Cedar, on the same rows and the same questions.

`first` are the first questions after a load, `p50` and `p99` those after them: other questions, never asked before,
of a server that has been up for a while. Stock Casbin is asked a few times only, because it takes its time. Cedar gets
its policies and entities parsed beforehand, which is its fastest way, and its answers have to be ours.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.policy_rows import World, cedar_request, requests, world
from mcp_guard.model.decision import AccessRequest
from mcp_guard.policy import stock, view
from mcp_guard.policy.load import load
from mcp_guard.policy.model_file import MODEL
from mcp_guard.policy.snapshot import Snapshot

ROWS = (30, 10_000)
QUESTIONS = 20_000
STOCK_QUESTIONS = 8
CEDAR_QUESTIONS = 500
COLUMNS = ("load_s", "first_p50_us", "first_p99_us", "p50_us", "p99_us", "stock_p50_us", "times_stock", "cedar_p50_us",
           "cedar_p99_us", "list_first_p50_ms", "list_p50_ms")  # fmt: skip
Figures = dict[str, float]
T = TypeVar("T")


def _load(world: World, folder: Path) -> tuple[Snapshot, float]:
    model, rules = folder / "model.conf", folder / "policy.csv"
    model.write_text(MODEL, encoding="utf-8")
    rules.write_text(world.casbin(), encoding="utf-8")
    start = time.perf_counter()
    snapshot = load(model, rules, world.tools)
    return snapshot, time.perf_counter() - start


def _micros(ask: Callable[[T], object], questions: Iterable[T]) -> list[float]:
    """Microseconds of each, in ascending order."""
    found: list[float] = []
    for question in questions:
        start = time.perf_counter_ns()
        ask(question)
        found.append((time.perf_counter_ns() - start) / 1000)
    return sorted(found)


def _at(sorted_values: Sequence[float], share: float) -> float:
    return round(sorted_values[min(int(len(sorted_values) * share), len(sorted_values) - 1)], 2)


def _ours(snapshot: Snapshot, world: World) -> Figures:
    first = _micros(snapshot.decide, requests(world, QUESTIONS, seed=3))
    later = _micros(snapshot.decide, requests(world, QUESTIONS, seed=4))
    return {
        "first_p50_us": _at(first, 0.5),
        "first_p99_us": _at(first, 0.99),
        "p50_us": _at(later, 0.5),
        "p99_us": _at(later, 0.99),
    }


def _stock(snapshot: Snapshot, world: World) -> Figures:
    enforcer = stock.load(world.casbin(), world.tools)

    def ask(request: AccessRequest) -> bool:
        who = request.principal
        context = view.of_request(request, snapshot.rules.roles.closure(who.subject, who.tenant))
        return bool(enforcer.enforce(who.subject, who.client, who.tenant, request.act, request.tool, context))

    times = _micros(ask, requests(world, STOCK_QUESTIONS, seed=5))
    return {"stock_p50_us": _at(times, 0.5)}


def _cedar(snapshot: Snapshot, world: World) -> Figures:
    try:
        import cedarpy  # type: ignore[import-not-found,unused-ignore]  # not in the lock
    except ImportError:
        return {}
    policies: Any = cedarpy.PolicySet.from_str(world.cedar_policies())
    entities: Any = cedarpy.Entities.from_json_str(json.dumps(world.cedar_entities()))
    asked = requests(world, CEDAR_QUESTIONS, seed=6)

    def ask(question: dict[str, object]) -> Any:
        return cedarpy.is_authorized(question, policies, entities)

    for request in asked[:100]:
        allows = ask(cedar_request(request)).decision == cedarpy.Decision.Allow
        if allows != (snapshot.decide(request).effect != "deny"):
            raise AssertionError(f"Cedar answers otherwise: {request}")
    times = _micros(ask, map(cedar_request, asked))
    return {"cedar_p50_us": _at(times, 0.5), "cedar_p99_us": _at(times, 0.99)}


def _lists(snapshot: Snapshot, world: World) -> Figures:
    """Milliseconds for all tools of the world at once: the first time somebody asks, and later."""
    tools = sorted(world.tools)

    def ask(request: AccessRequest) -> object:
        return snapshot.decide_all(request.principal, "list", tools, request.now, request.environment)

    callers = requests(world, 200, seed=7)
    first, later = _micros(ask, callers), _micros(ask, callers)
    return {
        "tools": len(tools),
        "list_first_p50_ms": round(_at(first, 0.5) / 1000, 3),
        "list_p50_ms": round(_at(later, 0.5) / 1000, 3),
    }


def main() -> dict[str, Figures]:
    """Measure, print a table, return it by the number of rows."""
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as name:
        for rows in ROWS:
            made = world(rows)
            snapshot, seconds = _load(made, Path(name))
            figures = {"load_s": round(seconds, 2), **_ours(snapshot, made), **_stock(snapshot, made)}
            figures |= _cedar(snapshot, made) | _lists(snapshot, made)
            figures["times_stock"] = round(figures["stock_p50_us"] / figures["p50_us"])
            found[str(rows)] = figures
    print(f"{'rows':>20}" + "".join(f"{rows:>12}" for rows in found))
    for column in COLUMNS:
        if all(column in figures for figures in found.values()):
            print(f"{column:>20}" + "".join(f"{figures[column]:>12g}" for figures in found.values()))
    if not any("cedar_p50_us" in figures for figures in found.values()):
        print("cedarpy is not installed: `pip install cedarpy`")
    return found


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
