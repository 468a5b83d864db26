"""An operator's stop button: one target, one reason, each press on record."""

import asyncio
from functools import partial

import pytest

from mcp_guard.admin.freeze import FreezeAdmin, Kind, target
from mcp_guard.admin.records import RecordReader
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.proofs import Proofs
from mcp_guard.audit.query import Query
from mcp_guard.limits.freeze import NO_TOOL, Freezes
from mcp_guard.model.decision import Decision, Effect
from mcp_guard.model.errors import Refused, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from tests.admin.conftest import records, unlabelled
from tests.simulators.clock import FakeClock

ALLOW = Decision(Effect.ALLOW, "r", "because", "p")
DENY = Decision(Effect.DENY, "no-audit", "the log is not for you", "p")
ALICE = Principal("user:alice", "agent:local", "acme", "bearer", "token")


@pytest.fixture
def admin(store: Store, journal: Journal, clock: FakeClock) -> FreezeAdmin:
    return FreezeAdmin(Freezes(store), journal, clock)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("subject", "user:alice", "user:alice"),
        ("subject", "service:cron", "service:cron"),
        ("client", "agent:local", "agent:local"),
        ("tool", "payments_refund", "tool:payments_refund"),
        ("tool", "resource:docs_readme", "tool:resource:docs_readme"),
        ("tool", "prompt:docs_monthly", "tool:prompt:docs_monthly"),
        ("tenant", "acme", "tenant:acme"),
    ],
)
def test_targets(kind: Kind, name: str, expected: str) -> None:
    assert target(kind, name) == expected


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("subject", "agent:local"),
        ("subject", "alice"),
        ("subject", "role:support"),
        ("subject", "user:alice\n"),
        ("client", "user:alice"),
        ("client", "agent:"),
        ("tool", ""),
        ("tool", "payments refund"),
        ("tool", "*"),
        ("tool", "user:alice"),
        ("tool", "resource:"),
        ("tool", "prompt:resource:x"),
        ("tenant", "*"),
        ("tenant", "../acme"),
        ("tenant", "tool:x"),
    ],
)
def test_names_that_nothing_has(kind: Kind, name: str) -> None:
    with pytest.raises(UsageError):
        target(kind, name)


@pytest.mark.holds("freeze:recorded")
async def test_every_press_is_on_record_with_its_reason(admin: FreezeAdmin, store: Store) -> None:
    made, is_new = await admin.freeze("user:alice", "  laptop stolen ")
    assert is_new
    again, is_new = await admin.freeze("user:alice", "another reason")
    assert (again, is_new) == (made, False), "the first reason stands"
    lifted = await admin.unfreeze("user:alice")
    assert lifted == made
    state = {"id": made.id, "target": "user:alice", "reason": "laptop stolen"}
    assert [(record["kind"], record["state"]) for record in await records(store)] == [
        ("config", {"what": "frozen", **state}),
        ("config", {"what": "unfrozen", **state}),
    ]


async def test_lifting_by_id(admin: FreezeAdmin, clock: FakeClock) -> None:
    first, _ = await admin.freeze("tool:mail_send", "wrong recipients")
    clock.advance(1)
    second, _ = await admin.freeze("tenant:acme", "incident 7")
    assert [found.target for found in await admin.freezes.all()] == ["tool:mail_send", "tenant:acme"]
    assert await admin.unfreeze(first.id) == first
    assert await admin.freezes.all() == [second]


@pytest.mark.parametrize("which", ["user:alice", "0000", "", "%", "' OR 1=1 --"])
async def test_lifting_what_is_not_frozen(which: str, admin: FreezeAdmin, store: Store) -> None:
    await admin.freeze("user:bob", "somebody else")
    before = await records(store)
    with pytest.raises(UsageError, match="Nothing like this"):
        await admin.unfreeze(which)
    assert await records(store) == before


async def test_two_operators_press_at_once(admin: FreezeAdmin, store: Store) -> None:
    pressed = await asyncio.gather(*(admin.freeze("user:alice", f"reason {n}") for n in range(8)))
    assert sum(is_new for _, is_new in pressed) == 1
    assert len({made.id for made, _ in pressed}) == 1
    lifted = await asyncio.gather(*(admin.unfreeze("user:alice") for _ in range(8)), return_exceptions=True)
    assert sum(not isinstance(found, UsageError) for found in lifted) == 1
    assert [record["state"]["what"] for record in await records(store)] == ["frozen", "unfrozen"]


@pytest.mark.parametrize(
    "reason", ["", "  ", "x" * 301, "two\nlines", "tab\there", "\x1b[2J", "safe\u202etext", "zero\u200bwidth"]
)
async def test_reasons_that_cannot_be_shown(reason: str, admin: FreezeAdmin, store: Store) -> None:
    with pytest.raises(UsageError):
        await admin.freeze("user:alice", reason)
    assert await records(store) == []


def reader(decision: Decision, admin: FreezeAdmin, store: Store, journal: Journal) -> RecordReader:
    frozen = partial(admin.freezes.decision, tool=NO_TOOL, policy="p")
    return RecordReader(lambda *_: decision, frozen, unlabelled, Query(store), journal, Proofs(store))


@pytest.mark.holds("freeze:reads")
@pytest.mark.parametrize("frozen", ["user:alice", "agent:local", "tenant:acme"])
async def test_who_is_frozen_reads_no_log_and_is_told_why(
    frozen: str, admin: FreezeAdmin, store: Store, journal: Journal
) -> None:
    await admin.freeze(frozen, "laptop stolen")
    reading = RecordReader(
        lambda *_: ALLOW,
        lambda who: admin.freezes.decision(who, NO_TOOL, "p"),
        unlabelled,
        Query(store),
        journal,
        Proofs(store),
    )
    for ask in (reading.page(ALICE, {}), reading.call(ALICE, "c"), reading.status(ALICE)):
        with pytest.raises(Refused, match="laptop stolen") as caught:
            await ask
        assert (caught.value.code, caught.value.rule, caught.value.exit_code) == ("frozen", "guard:frozen", 5)
    assert reading.may_read(ALICE), "freezing is not hiding"
    states = [record["state"] for record in await records(store) if record["kind"] == "read"]
    assert [(state["what"], state["effect"], state["rule"]) for state in states] == [
        (what, "deny", "guard:frozen") for what in ("records", "call", "status")
    ]


@pytest.mark.holds("freeze:reads")
async def test_who_may_not_read_anyway_learns_nothing_of_a_freeze(
    admin: FreezeAdmin, store: Store, journal: Journal
) -> None:
    await admin.freeze("user:alice", "laptop stolen")
    reading = RecordReader(
        lambda *_: DENY,
        lambda who: admin.freezes.decision(who, NO_TOOL, "p"),
        unlabelled,
        Query(store),
        journal,
        Proofs(store),
    )
    with pytest.raises(Refused) as caught:
        await reading.page(ALICE, {})
    assert (caught.value.code, caught.value.rule) == ("policy_denied", "no-audit")
