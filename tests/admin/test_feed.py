"""Who is told of new records, and how often: by policy as it is then, once a look, and never of reads."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from mcp_guard.admin import feed as feed_module
from mcp_guard.admin.feed import RecordFeed, TooManySubscriptions
from mcp_guard.admin.records import RecordReader
from mcp_guard.audit import follow
from mcp_guard.audit.facts import CallFacts, Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.proofs import Proofs
from mcp_guard.audit.query import Query
from mcp_guard.model.decision import Act, Decision, Effect, Obligations, Rows
from mcp_guard.model.errors import Refused, StoreUnavailable, Unauthenticated, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.reader import Reader
from mcp_guard.store.store import Store
from tests.admin.conftest import records, unlabelled

ALICE = Principal("user:alice", "agent:local", "acme", "bearer", "token")
BOB = replace(ALICE, subject="user:bob")
ZOE = replace(ALICE, subject="user:zoe", tenant="globex")
DENY = Decision(Effect.DENY, "no-audit", "the log is not for you", "p")
FROZEN = Decision(Effect.DENY, "guard:frozen", "stopped", "p")
ALLOW = Decision(Effect.ALLOW, "r", "because", "p")
HIDING = Decision(Effect.DENY, "hide-vault", "the vault is secret", "p")


def rows(wanted: Rows) -> Decision:
    return Decision(Effect.ALLOW, "r", "because", "p", Obligations(rows=wanted))


@dataclass
class Desk:
    """A feed whose looks the test makes, and a policy that can change."""

    store: Store
    journal: Journal
    policy: dict[str, Decision] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    out: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        def decide(who: Principal, act: Act, _: str) -> Decision:
            return self.policy.get(who.subject, DENY) if act == "audit" else DENY

        def stopped(who: Principal) -> Decision | None:
            return FROZEN if who.subject in self.frozen else None

        reader = RecordReader(decide, stopped, unlabelled, Query(self.store), self.journal, Proofs(self.store))
        self.feed = RecordFeed(reader, sleep=_for_ever)

    def who(self, principal: Principal) -> Callable[[], Awaitable[Principal]]:
        async def now() -> Principal:
            if principal.subject in self.out:
                raise Unauthenticated()
            return principal

        return now

    async def watch(self, principal: Principal, name: str = "", **filters: str) -> Callable[[], None]:
        name = name or principal.subject
        return await self.feed.subscribe(
            self.who(principal), filters, lambda: self.told.append(name), lambda: self.ended.append(name)
        )

    async def call(self, principal: Principal, tool: str = "orders_get", decision: Decision = ALLOW) -> None:
        known = None if decision is HIDING else "ab" * 32
        facts = CallFacts("c", principal, tool, fingerprint=known, arguments={}, decision=decision)
        await self.journal.outcome(facts, Ending("ok", "yes", 1))

    async def look(self) -> list[str]:
        """One look at the log: who was told."""
        self.told.clear()
        await self.feed.tick()
        return sorted(self.told)


async def _for_ever(_: float) -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def desk(store: Store, journal: Journal) -> AsyncIterator[Desk]:
    made = Desk(store, journal)
    made.policy = {"user:alice": rows("own"), "user:bob": rows("tenant"), "user:zoe": rows("all")}
    yield made
    await made.feed.aclose()


@pytest.mark.holds("feed:rows")
async def test_who_may_read_a_record_is_told_of_it_and_nobody_else(desk: Desk) -> None:
    for who in (ALICE, BOB, ZOE):
        await desk.watch(who)
    assert await desk.look() == []
    await desk.call(BOB)
    assert await desk.look() == ["user:bob", "user:zoe"]
    assert await desk.look() == []
    await desk.call(ALICE)
    assert await desk.look() == ["user:alice", "user:bob", "user:zoe"]
    await desk.call(replace(ALICE, tenant="globex"))
    assert await desk.look() == ["user:zoe"]


@pytest.mark.holds("feed:no-reads")
async def test_reads_never_notify_so_reading_what_one_was_told_of_is_no_loop(desk: Desk) -> None:
    await desk.watch(ZOE)
    await desk.watch(ZOE, "reads", kind="read")
    for _ in range(3):
        await desk.journal.read(ZOE, {"what": "records"})
    assert await desk.look() == []
    await desk.call(ALICE)
    await desk.journal.read(ZOE, {"what": "records"})
    assert await desk.look() == ["user:zoe"]


@pytest.mark.holds("feed:rows")
async def test_filters_hold(desk: Desk) -> None:
    await desk.watch(ZOE, "orders", tool="orders_get")
    await desk.watch(ZOE, "denied", effect="deny")
    await desk.watch(ZOE, "words", text="secret")
    await desk.watch(ZOE, "late", after="100")
    await desk.call(ALICE)
    assert await desk.look() == ["orders"]
    await desk.call(ALICE, "vault_open", HIDING)
    assert await desk.look() == ["denied", "words"]


@pytest.mark.holds("feed:rows", "audit:filters-tell-nothing")
async def test_a_hidden_tool_notifies_like_an_unknown_one(desk: Desk) -> None:
    await desk.watch(ALICE, "hiding", rule="hide-vault")
    await desk.watch(ALICE, "secret", text="secret")
    await desk.watch(ALICE, "default", rule="guard:default")
    await desk.call(ALICE, "vault_open", HIDING)
    assert await desk.look() == ["default"]


@pytest.mark.holds("feed:bounded")
async def test_however_much_is_new_it_is_told_once_a_look(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "STEP", 3)
    await desk.watch(ZOE)
    for _ in range(20):
        await desk.call(ALICE)
    assert await desk.look() == ["user:zoe"]


@pytest.mark.holds("feed:policy-then")
async def test_what_policy_says_then_decides(desk: Desk) -> None:
    for who in (ALICE, BOB, ZOE):
        await desk.watch(who)
    desk.policy["user:alice"] = DENY
    desk.frozen.add("user:bob")
    desk.policy["user:zoe"] = rows("own")
    await desk.call(ALICE)
    assert await desk.look() == []
    assert sorted(desk.ended) == ["user:alice", "user:bob"]
    desk.policy["user:alice"] = desk.policy["user:zoe"] = rows("all")
    await desk.call(ALICE)
    assert await desk.look() == ["user:zoe"], "whoever was let go asks anew"


@pytest.mark.holds("feed:policy-then")
async def test_who_would_no_longer_be_let_in_is_told_nothing(desk: Desk) -> None:
    await desk.watch(ALICE)
    desk.out.add("user:alice")
    await desk.call(ALICE)
    assert await desk.look() == []
    assert desk.ended == ["user:alice"]
    with pytest.raises(Unauthenticated):
        await desk.watch(ALICE)


@pytest.mark.holds("feed:refused")
async def test_who_may_not_read_may_not_watch_and_both_are_on_record(desk: Desk) -> None:
    desk.policy["user:alice"] = DENY
    with pytest.raises(Refused) as refused:
        await desk.watch(ALICE)
    assert refused.value.code == "policy_denied"
    await desk.watch(BOB)
    states = [record["state"] for record in await records(desk.store)]
    assert states == [
        {"what": "watch", "effect": "deny", "rule": "no-audit", "count": 0},
        {"what": "watch", "rows": "tenant"},
    ]


async def test_a_filter_that_is_none_is_refused(desk: Desk) -> None:
    for filters in ({"limit": "x"}, {"text": "!"}, {"actor": "a" * 1000}):
        with pytest.raises(UsageError):
            await desk.watch(ALICE, **filters)
    await desk.call(ALICE)
    assert await desk.look() == []


@pytest.mark.holds("feed:bounded")
async def test_nobody_takes_everybodys_place(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "MAX_PER_SUBJECT", 3)
    monkeypatch.setattr(feed_module, "MAX_SUBSCRIPTIONS", 4)
    cancels = [await desk.watch(ALICE) for _ in range(3)]
    with pytest.raises(TooManySubscriptions):
        await desk.watch(ALICE)
    await desk.watch(BOB)
    with pytest.raises(TooManySubscriptions):
        await desk.watch(ZOE)
    cancels[0]()
    cancels[0]()
    await desk.watch(ZOE)
    with pytest.raises(TooManySubscriptions):
        await desk.watch(BOB)


async def test_a_store_that_cannot_be_read_now_is_news_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.watch(ZOE)
    await desk.call(ALICE)

    async def broken(*_: object) -> None:
        raise StoreUnavailable("disk on fire")

    with monkeypatch.context() as patch:
        patch.setattr(Reader, "all", broken)
        assert await desk.look() == []
    assert await desk.look() == ["user:zoe"]


async def test_without_subscriptions_nothing_is_looked_at(store: Store, journal: Journal) -> None:
    desk = Desk(store, journal, {"user:zoe": rows("all")})
    looks: list[float] = []
    go = asyncio.Event()

    async def sleep(seconds: float) -> None:
        looks.append(seconds)
        await go.wait()

    feed = RecordFeed(desk.feed._reader, sleep=sleep)
    cancel = await feed.subscribe(desk.who(ZOE), {}, lambda: None, lambda: None)
    await asyncio.sleep(0)
    cancel()
    go.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert looks == [feed_module.TICK_SECONDS]
    again = await feed.subscribe(desk.who(ZOE), {}, lambda: None, lambda: None)
    async with asyncio.timeout(60):
        while len(looks) < 2:
            await asyncio.sleep(0)
    again()
    await feed.aclose()


async def test_closing_ends_every_subscription(desk: Desk) -> None:
    await desk.watch(ALICE)
    await desk.watch(BOB)
    await desk.feed.aclose()
    await desk.feed.aclose()
    assert sorted(desk.ended) == ["user:alice", "user:bob"]
    with pytest.raises(TooManySubscriptions):
        await desk.watch(ZOE)
