"""Counting in one transaction: exactly as many as a limit says, over calls, processes, crashes and clocks."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.limits.limits import Limits
from mcp_guard.limits.reached import Reached
from mcp_guard.limits.use import Call, CostUnknown, Place, Use, counter_key, counter_of, use_of
from mcp_guard.model.limit import MILLION, Cost
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import Elicitation, McpSpec, Upstream
from mcp_guard.store.store import Store
from tests.limits.helpers import ALICE, call, ends, limits_on, passes
from tests.simulators.clock import FakeClock
from tests.store.helpers import rows

USD = Cost("usd", argument="amount")
TOKENS = Cost("tokens", reported="/usage", at_most=100 * MILLION)
DAY = 86_400


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "guard.db", "test", clock=clock)
    yield opened
    await opened.aclose()


@pytest.fixture
def limits(store: Store) -> Limits:
    return limits_on(store)


def spends(amount: object, *texts: str, who: Principal = ALICE, of: str | None = None) -> Call:
    return call(*(texts or ("budget=10usd/day/who",)), cost=USD, arguments={"amount": amount}, who=who, of=of)


def used(asked: Call) -> Use | None:
    return use_of(asked, (), lambda data: data.hex())


async def passed(limits: Limits, *asked: Call) -> int:
    found = await asyncio.gather(*(passes(limits, one) for one in asked))
    return sum(isinstance(one, Use) for one in found)


@pytest.mark.holds("limits:exact")
@pytest.mark.parametrize(
    "text", ["budget=10usd/day/who", "budget=10usd/month/all", "quota=10/day/tenant", "rate=10/day/tool"]
)
async def test_of_parallel_calls_exactly_as_many_get_through(text: str, limits: Limits) -> None:
    assert await passed(limits, *(spends(1, text) for _ in range(200))) == 10


@pytest.mark.holds("limits:exact")
async def test_two_stores_on_one_file_count_together(tmp_path: Path, limits: Limits, clock: FakeClock) -> None:
    other = Store.open(tmp_path / "guard.db", "test", clock=clock)
    try:
        found = await asyncio.gather(
            *(passed(side, *(spends(1) for _ in range(40))) for side in (limits, limits_on(other)) * 2)
        )
    finally:
        await other.aclose()
    assert sum(found) == 10


@pytest.mark.holds("limits:exact")
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 4_000_000), st.sampled_from(["done", "not", "unknown", "open"])), max_size=12))
async def test_the_sum_is_what_was_let_through_and_not_given_back(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]]
) -> None:
    """Against a plain model, whatever happens to the calls."""
    store = Store.open(tmp_path_factory.mktemp("sum") / "guard.db", "test", clock=FakeClock())
    limits, model = limits_on(store), 0
    try:
        for millionths, fate in steps:
            found = await passes(limits, spends(millionths / MILLION))
            assert isinstance(found, Use) is (millionths == 0 or model + millionths <= 10 * MILLION)
            if isinstance(found, Use):
                model += millionths
                if fate != "open":
                    await ends(limits, found, done={"done": True, "not": False, "unknown": None}[fate])
                model -= millionths if fate == "not" else 0
            spent = limits.spent(ALICE, ["usd_today", "usd_month"])
            assert spent["usd_today"] == spent["usd_month"] == pytest.approx(model / MILLION, abs=0)
    finally:
        await store.aclose()


@pytest.mark.holds("limits:all-at-once")
async def test_what_one_limit_refuses_takes_nothing_of_the_others(limits: Limits, store: Store) -> None:
    both = ("quota=5/day/who", "budget=3usd/day/who", "rate=9/day/who", "repeat=9/1h")
    assert await passed(limits, *(spends(1, *both) for _ in range(20))) == 3
    (quota,) = rows(store.path, "SELECT used FROM counter WHERE key LIKE '% calls %'")
    assert quota == (3 * MILLION,)
    ((times,),) = rows(store.path, "SELECT times FROM repetition")
    assert len(json.loads(str(times))) == 3


@pytest.mark.holds("limits:whose")
@pytest.mark.parametrize(
    ("text", "other", "together"),
    [
        ("who", {"subject": "user:bob"}, False), ("who", {"client": "agent:other"}, True),
        ("who", {"tenant": "globex"}, False), ("via", {"client": "agent:other"}, False),
        ("via", {"subject": "user:bob"}, True), ("via", {"tenant": "globex"}, False),
        ("via", {"client": "agent:other", "chain": ("agent:local",)}, True), ("tenant", {"subject": "user:bob"}, True),
        ("tenant", {"tenant": "globex"}, False), ("tool", {"subject": "user:bob"}, True),
        ("tool", {"tenant": "globex"}, False), ("all", {"subject": "user:bob", "tenant": "globex"}, True),
        ("who", {"software": "renamed 2.0"}, True), ("via", {"software": "renamed 2.0"}, True),
    ],
)  # fmt: skip
async def test_whose_use_counts_together(text: str, other: dict[str, object], together: bool, limits: Limits) -> None:
    for kind in ("budget=1usd/day", "quota=1/day", "rate=1/day"):
        limit = f"{kind}/{text}"
        assert await passed(limits, spends(1, limit)) == 1
        somebody = replace(ALICE, **other)  # type: ignore[arg-type]
        assert await passed(limits, spends(1, limit, who=somebody)) == (0 if together else 1), kind


@pytest.mark.holds("limits:settled")
async def test_what_was_not_done_is_given_back_and_what_nobody_knows_is_kept(limits: Limits) -> None:
    asked = spends(10, "budget=10usd/day/who", "quota=1/day/who")
    refused = await passes(limits, asked)
    await ends(limits, refused, done=False)
    unclear = await passes(limits, spends(10, "budget=10usd/day/who", "quota=1/day/who"))
    await ends(limits, unclear, done=None)
    assert await passed(limits, spends(10)) == 0


@pytest.mark.holds("limits:settled")
@pytest.mark.parametrize(("reported", "left"), [(30, 70), (100, 0), (0, 100), (150, 0)])
async def test_a_reported_cost_replaces_what_was_reserved(reported: int, left: int, limits: Limits) -> None:
    def asked() -> Call:
        return call("budget=100tokens/day/who", cost=TOKENS)

    first = await passes(limits, asked())
    assert isinstance(await passes(limits, asked()), Reached), "the most it may cost is reserved"
    await ends(limits, first, reported * MILLION, done=True)
    assert limits.spent(ALICE, ["tokens_today"]) == {"tokens_today": reported}
    rest = call("budget=100tokens/day/who", cost=Cost("tokens", amount=max(left, 1) * MILLION))
    assert await passed(limits, rest) == (1 if left else 0)


@pytest.mark.holds("limits:settled")
async def test_a_step_done_again_is_one_use(limits: Limits, store: Store) -> None:
    def again() -> Call:
        return spends(6, "budget=10usd/day/who", "quota=1/day/who", "rate=1/day/who", "repeat=1/1h", of="task/pay")

    await passes(limits, again())  # and the process died
    second = await passes(limits, again())
    await ends(limits, second, done=None, again=True)
    third = await passes(limits, again())
    assert isinstance(third, Use)
    assert limits.spent(ALICE, ["usd_today"]) == {"usd_today": 6}
    await ends(limits, third, done=False)
    assert limits.spent(ALICE, ["usd_today"]) == {"usd_today": 6}, "an earlier attempt may have acted"
    assert rows(store.path, "SELECT * FROM held") == []


@pytest.mark.holds("limits:settled")
async def test_an_attempt_that_was_overtaken_settles_nothing(limits: Limits) -> None:
    first = await passes(limits, spends(6, of="task/pay"))
    await passes(limits, spends(6, of="task/pay"))
    await ends(limits, first, done=False)
    assert limits.spent(ALICE, ["usd_today"]) == {"usd_today": 6}


@pytest.mark.holds("limits:clock")
@pytest.mark.parametrize("back", [1, 3600, DAY, 35 * DAY])
async def test_a_clock_set_back_gives_no_fresh_budget(back: int, limits: Limits, clock: FakeClock) -> None:
    every = ("budget=10usd/day/who", "budget=10usd/month/who", "quota=1/day/who", "rate=1/day/who", "repeat=1/1d")
    assert [await passed(limits, spends(10, text)) for text in every] == [1, 0, 1, 1, 1]
    clock.advance(-back)
    assert [await passed(limits, spends(10, text)) for text in every] == [0, 0, 0, 0, 0]


@pytest.mark.holds("limits:clock")
async def test_a_counter_of_yesterday_is_still_there_for_a_clock_set_back(limits: Limits, clock: FakeClock) -> None:
    assert await passed(limits, spends(10)) == 1
    clock.advance(DAY)
    assert await passed(limits, spends(10, who=replace(ALICE, subject="user:bob"))) == 1  # rows past are looked through
    clock.advance(-DAY)
    assert await passed(limits, spends(1)) == 0


async def test_budgets_reset_with_the_day_and_quotas_with_the_month(limits: Limits, clock: FakeClock) -> None:
    every = ("budget=10usd/day/who", "quota=1/month/who")
    assert [await passed(limits, spends(10, text)) for text in every] == [1, 1]
    clock.advance(DAY)
    assert [await passed(limits, spends(10, text)) for text in every] == [1, 0]
    clock.advance(31 * DAY)
    assert [await passed(limits, spends(10, text)) for text in every] == [1, 1]


@pytest.mark.holds("limits:bounded")
async def test_counters_long_past_are_removed(limits: Limits, store: Store, clock: FakeClock) -> None:
    await passed(limits, spends(1, "budget=10usd/day/who", "rate=1/second/who", "repeat=1/1s"))
    clock.advance(80 * DAY)
    bob = replace(ALICE, subject="user:bob")
    await passed(limits, spends(1, "budget=10usd/day/who", "rate=1/second/who", "repeat=1/1s", who=bob))
    assert rows(store.path, "SELECT * FROM counter WHERE key LIKE '%alice%'") == []
    assert rows(store.path, "SELECT * FROM pace WHERE name = 'user:alice'") == []
    assert len(rows(store.path, "SELECT * FROM repetition")) == len(rows(store.path, "SELECT * FROM held")) == 1


@pytest.mark.holds("limits:concurrency")
async def test_a_slot_is_free_again_when_its_call_ended_or_its_process_is_gone(
    limits: Limits, store: Store, tmp_path: Path, clock: FakeClock
) -> None:
    other = Store.open(tmp_path / "guard.db", "test", clock=clock)
    running = [await passes(limits, call("concurrency=3")), await passes(limits_on(other), call("concurrency=3"))]
    third = await passes(limits, call("concurrency=3"))
    assert isinstance(await passes(limits, call("concurrency=3")), Reached)
    await ends(limits, third, done=True)
    assert await passed(limits, call("concurrency=3")) == 1
    assert await passed(limits, call("concurrency=3")) == 0
    await other.aclose()  # with a call still running
    assert await passed(limits, call("concurrency=3"), call("concurrency=3")) == 1
    clock.advance(3600)
    assert await passed(limits, call("concurrency=1")) == 1, "no call runs that long"
    assert len(running) == 2


@pytest.mark.holds("limits:concurrency")
async def test_a_slot_is_not_free_while_a_person_is_asked_during_the_call(limits: Limits, clock: FakeClock) -> None:
    server = Upstream("notes", ("notes",), (), "", (), (), 20.0, 1_000_000, elicitation=Elicitation(600.0, 2))
    asked = call("concurrency=1")
    asks = replace(asked, tool=replace(asked.tool, connector=McpSpec("mcp", server, "say", "0" * 64)))
    assert isinstance(await passes(limits, asks), Use)
    clock.advance(1200)
    assert isinstance(await passes(limits, call("concurrency=1")), Reached)
    clock.advance(600)
    assert isinstance(await passes(limits, call("concurrency=1")), Use), "no call runs that long"


@pytest.mark.holds("limits:repeat")
async def test_the_same_call_is_the_same_however_it_is_written(limits: Limits, clock: FakeClock) -> None:
    ways: list[dict[str, object]] = [
        {"a": "x y", "b": [1, {"c": 2}]},
        {"b": [1, {"c": 2}], "a": "x y"},
        {"a": "x\u200b y", "b": [1.0, {"c": 2}]},
        {"a": "  x \t y", "b": [1, {"c": 2.0}]},
        {"a": "\uff58 y", "b": [1, {"\u2060c": 2}]},
    ]
    assert await passed(limits, *(call("repeat=2/10m", arguments=way) for way in ways)) == 2
    assert await passed(limits, call("repeat=2/10m", arguments={"a": "x z", "b": []})) == 1
    assert await passed(limits, call("repeat=2/10m", arguments=ways[0], name="other")) == 1
    assert await passed(limits, call("repeat=2/10m", arguments=ways[0], who=replace(ALICE, subject="user:bob"))) == 1
    clock.advance(600)
    assert await passed(limits, call("repeat=2/10m", arguments=ways[0])) == 1


async def test_what_is_kept_of_repeated_arguments_says_nothing(limits: Limits, store: Store) -> None:
    await passes(limits, call("repeat=2/10m", arguments={"iban": "DE02120300000000202051"}))
    assert "DE02" not in str(
        [rows(store.path, f"SELECT * FROM {table}") for table in ("repetition", "held", "counter")]
    )


@pytest.mark.holds("limits:hostile-amounts")
@pytest.mark.parametrize(
    "amount",
    [-1, -0.000001, 1e308, 10**30, 1_000_000_001, "5", "1e3", None, True, [5], {}, float("nan"), float("inf")],
    ids=repr,
)
def test_a_cost_nobody_can_know_is_none(amount: object) -> None:
    asked = call("budget=10usd/day/who", cost=USD, arguments={"amount": amount})
    with pytest.raises(CostUnknown) as caught:
        used(asked)
    assert caught.value.message.startswith("/amount: expected a number")
    missing = call(cost=Cost("records", count_of="ids"), arguments={"ids": "a"})
    with pytest.raises(CostUnknown):
        used(missing)


@pytest.mark.holds("limits:exact")
@pytest.mark.parametrize(
    ("amount", "millionths"),
    [
        (0.1, 100_000),
        (0.1 + 0.2, 300_001),
        (0.0000001, 1),
        (5, 5 * MILLION),
        (1e-300, 1),
        (0, 0),
        (999_999_999.5, 999_999_999_500_000),
    ],
)
def test_amounts_are_exact_and_what_is_finer_is_rounded_up(amount: float, millionths: int) -> None:
    use = used(call(cost=USD, arguments={"amount": amount}))
    assert use is not None
    assert use.cost == millionths


@pytest.mark.holds("limits:exact")
def test_counted_items_are_the_cost() -> None:
    use = used(call(cost=Cost("records", count_of="ids"), arguments={"ids": ["a", "b", "b"]}))
    assert use is not None
    assert use.cost == 3 * MILLION


async def test_looking_counts_nothing(limits: Limits, store: Store) -> None:
    use = limits.use(spends(10, "budget=10usd/day/who", "rate=1/day/who", "repeat=1/1h", "concurrency=1"))
    assert use is not None
    assert await limits.look(use) is None
    assert await limits.look(use) is None
    assert all(
        not rows(store.path, f"SELECT * FROM {name}") for name in ("counter", "pace", "repetition", "held", "slot")
    )
    await limits.reserve(use)
    after = await limits.look(replace(use, id="other", call="other"))
    assert isinstance(after, Reached)


async def test_a_call_without_limits_uses_nothing(limits: Limits) -> None:
    assert limits.use(call()) is None


@pytest.mark.holds("limits:whose")
async def test_a_rule_that_holds_for_every_hop_counts_a_call_once(limits: Limits) -> None:
    asked = call("rate=2/day/who", "rate=2/day/who", "quota=2/day/who", "quota=2/day/who")
    assert await passed(limits, asked, replace(asked, id="b", call="b"), replace(asked, id="c", call="c")) == 2


@pytest.mark.holds("limits:whose")
@given(*[st.text(max_size=12)] * 3, st.text(alphabet="abc_", min_size=1, max_size=8))
def test_no_name_can_be_taken_for_another(source: str, tenant: str, name: str, unit: str) -> None:
    place = Place(source, "who", tenant, name)
    key = counter_key(place, unit, "day")
    assert counter_of(key) == (place, unit, "day")
    assert key.isascii()
    assert key.isprintable()
