"""What must not go ahead under a grant: other callers, other calls, another policy, another time, a forged row."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from mcp_guard.admin.grants import WantedGrant
from mcp_guard.audit.erasure import Wanted
from mcp_guard.build import Guard, open_erasing
from mcp_guard.config.load import load
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import Answer
from mcp_guard.model.principal import Principal
from tests.granted import HOUR_S, SHAPED, TEN, Shifted, done, edit, granted, guarded, person, refund, told, waits, write
from tests.simulators.process import Program

# --- what does not ----------------------------------------------------------------------------------------------------


@pytest.mark.holds("grant:whose")
async def test_nobody_else_goes_ahead_under_it(desk: Program, payments: Sandbox) -> None:
    edit(
        desk.home,
        "policy/policy.csv",
        "g, agent:local, role:trusted-agent, acme\n",
        "g, agent:local, role:trusted-agent, acme\ng, agent:other, role:trusted-agent, acme\n"
        "g, user:carol, role:support, acme\n",
    )
    edit(desk.home, "policy/principals.yaml", "scopes: []", "scopes: [payments:refund]")
    async with guarded(desk.home) as guard:
        await granted(guard, 810, SHAPED)
        before = len(payments.ledger.entries())
        alice = person(guard, "user:alice")
        others = {
            "somebody else": person(guard, "user:carol"),
            "another agent of the same person": person(guard, "user:alice", "agent:other"),
            "on behalf of somebody": replace(alice, chain=("user:carol",)),
            "declared only": guard.declare("user:alice", "agent:local"),
        }
        for case, who in others.items():
            assert waits(await refund(guard, 810, who)), case
        elsewhere = await _refund_or_unknown(guard, replace(alice, tenant="globex"))
        assert elsewhere is None, "another tenant does not even see the tool"
        assert len(payments.ledger.entries()) == before
        assert done(await refund(guard, 809, alice))


async def _refund_or_unknown(guard: Guard, who: Principal) -> Answer | None:
    from mcp_guard.model.errors import UnknownTool

    try:
        return await refund(guard, 810, who)
    except UnknownTool:
        return None


_RULE = "p, refund-large, role:support,"
CHANGED = {
    "another rule": ("policy/policy.csv", _RULE, "p, refund-other, role:support,"),
    "other approvers": ("policy/policy.csv", "approvers=role:finance;", "approvers=[role:finance, role:manager];"),
    "two of them": ("policy/policy.csv", "approvers=role:finance;", "quorum=2; approvers=role:finance;"),
    "the requester may decide": (
        "policy/policy.csv",
        "approvers=role:finance; not=requester;",
        "approvers=role:finance;",
    ),
    "another tool behind the name": ("tool_manifests/payments.yaml", "/v1/orders/{order_id}", "/v2/orders/{order_id}"),
    "the grantor lost the role": ("policy/policy.csv", "g, user:bob, role:finance, acme\n", ""),
    "the grantor may not approve": (
        "policy/policy.csv",
        "role:finance, *, acme, approve,",
        "role:finance, *, acme, task,",
    ),
    "the grantor belongs elsewhere": (
        "policy/principals.yaml",
        '"user:bob":\n    tenant: acme',
        '"user:bob":\n    tenant: globex',
    ),
}


@pytest.mark.holds("grant:whose")
@pytest.mark.parametrize("change", CHANGED)
async def test_where_anything_changed_people_are_asked_again(change: str, desk: Program, payments: Sandbox) -> None:
    async with guarded(desk.home) as guard:
        await granted(guard, 820, SHAPED)
        assert done(await refund(guard, 820))
    edit(desk.home, *CHANGED[change])
    before = len(payments.ledger.entries())
    async with guarded(desk.home) as guard:
        answer = await refund(guard, 820)
        assert waits(answer), answer.text
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("grant:whose")
@pytest.mark.parametrize("whom", ["user:alice", "user:bob"])
async def test_a_freeze_of_requester_or_grantor_stops_it(whom: str, desk: Program, payments: Sandbox) -> None:
    async with guarded(desk.home) as guard:
        await granted(guard, 821, SHAPED)
    assert desk.run("freeze", "--subject", whom, "--reason", "a stolen laptop").status == 0
    before = len(payments.ledger.entries())
    async with guarded(desk.home) as guard:
        answer = await refund(guard, 821)
        assert (told(answer)["code"] == "frozen") if whom == "user:alice" else waits(answer)
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("grant:expires")
async def test_after_its_time_it_is_none_also_with_the_clock_set_back(
    desk: Program, payments: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Shifted()
    monkeypatch.setattr("mcp_guard.build.parking.SystemClock", lambda: clock)
    monkeypatch.setattr("mcp_guard.build.wiring.SystemClock", lambda: clock)
    async with guarded(desk.home) as guard:
        await granted(guard, 830, WantedGrant(60, 10, same_shape=True))
        assert done(await refund(guard, 830))
        before = len(payments.ledger.entries())
        clock.by_us = 61 * 1_000_000
        assert waits(await refund(guard, 829))
        clock.by_us = 0
        assert waits(await refund(guard, 828))
    assert len(payments.ledger.entries()) == before


# --- without the key --------------------------------------------------------------------------------------------------


_ALL_OF_IT = "SELECT id FROM approval_grant"
_ANOTHER = "CASE substr(id, 1, 1) WHEN 'a' THEN 'b' ELSE 'a' END || substr(id, 2)"  # than the one it has
_COPIED = (
    "INSERT INTO approval_grant SELECT {id}, approval, likeness, grantor, until, {sealed}, NULL FROM approval_grant"
)


@pytest.mark.holds("grant:unforgeable")
@pytest.mark.parametrize(
    "written",
    [
        ["DELETE FROM grant_use"],
        ["DELETE FROM grant_use", f"INSERT INTO grant_use VALUES (({_ALL_OF_IT}), 'x')"],
        ["UPDATE approval_grant SET until = until + 1000000000000"],
        [_COPIED.format(id=_ANOTHER, sealed="sealed")],
        [f"UPDATE approval_grant SET id = {_ANOTHER}"],
    ],
)
async def test_who_can_write_the_store_but_has_no_key_gets_no_further_use(
    written: list[str], desk: Program, payments: Sandbox
) -> None:
    async with guarded(desk.home) as guard:
        await granted(guard, 850, WantedGrant(HOUR_S, 2))
        assert all([done(await refund(guard, 850)) for _ in range(2)])
    write(desk.home, *written)
    before = len(payments.ledger.entries())
    async with guarded(desk.home) as guard:
        assert waits(await refund(guard, 850))
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("grant:unforgeable")
@pytest.mark.parametrize(
    "written",
    [
        ["UPDATE approval_grant SET revoked_at = NULL"],
        ["UPDATE approval_grant SET revoked_at = NULL, until = until + 1"],
    ],
)
async def test_what_was_revoked_stays_revoked_whatever_its_row_says(
    written: list[str], desk: Program, payments: Sandbox
) -> None:
    async with guarded(desk.home) as guard:
        identifier = await granted(guard, 851, TEN)
        await guard.grants.revoke(person(guard, "user:bob"), identifier, "cli")
    write(desk.home, *written)
    before = len(payments.ledger.entries())
    async with guarded(desk.home) as guard:
        assert waits(await refund(guard, 851))
        assert await guard.grants.all() == []
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("grant:unforgeable")
async def test_a_grant_made_up_or_for_something_else_is_none(desk: Program, payments: Sandbox) -> None:
    async with guarded(desk.home) as guard:
        await granted(guard, 852, TEN)
    write(
        desk.home,
        _COPIED.format(id=f"'{'b' * 32}'", sealed="x'00'"),
        _COPIED.format(id="hex(randomblob(16))", sealed="zeroblob(length(sealed))"),
        "UPDATE vote SET subject = 'user:dana'",
    )
    before = len(payments.ledger.entries())
    async with guarded(desk.home) as guard:
        assert waits(await refund(guard, 852)), "nobody decided that, so nobody granted it"
        assert await guard.grants.all() == []
    assert len(payments.ledger.entries()) == before


@pytest.mark.holds("grant:unforgeable", "erase:tasks")
async def test_an_erasure_takes_what_a_grant_keeps_and_the_grant_with_it(desk: Program, payments: Sandbox) -> None:
    async with guarded(desk.home) as guard:
        await granted(guard, 853, TEN)
        async with open_erasing(load(desk.home, environ={})) as admin:
            await admin.erase(Wanted("subject", "user:alice"), "ticket 853")
        before = len(payments.ledger.entries())
        assert waits(await refund(guard, 853))
        assert len(payments.ledger.entries()) == before
    with closing(sqlite3.connect(desk.home / "var" / "guard.db")) as database:
        ((sealed,),) = database.execute("SELECT sealed FROM approval_grant")
    assert not any(sealed)
