"""The example home's own workflow: what taking in a customer leaves behind, in the database and with the service."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.build import Guard
from mcp_guard.demo.sandbox import Sandbox
from tests.flow import mails
from tests.inside import call, ended, opened, who
from tests.simulators.process import Program


@pytest.fixture
async def guard(desk: Program) -> AsyncIterator[Guard]:
    async with opened(desk.home) as serving:
        yield serving


async def _onboard(guard: Guard, customer: str, email: str) -> str:
    """Begin it, up to the manager; returns the task."""
    answer = await call(
        guard, "customers_onboard", customer_id=customer, name="Dora", email=email, justification="signed"
    )
    assert "waiting for role:manager" in answer.text, answer.text
    found: Any = answer.structured["guard"]
    return str(found["task_id"])


async def _decide(guard: Guard, verdict: Any) -> None:
    (request,) = await guard.approvals.all()
    assert (request.tool, request.rule) == ("accounts_activate", "account-activate")
    await guard.approvals.decide(who(guard, "user:dana"), request.id, verdict, "mcp")
    guard.runner.poke()


def _customer(home: Path, customer: str) -> list[Any]:
    with closing(sqlite3.connect(home / "var" / "orders.db")) as database:
        return database.execute("SELECT name, state FROM customers WHERE id = ?", (customer,)).fetchall()


def _accounts(payments: Sandbox, customer: str) -> list[tuple[str, str]]:
    """State and who asked, of every account of a customer, as the service sees it."""
    return [
        (account["state"], account["by"])
        for account in payments.ledger.accounts()
        if account["customer_id"] == customer
    ]


@pytest.mark.holds("workflow:example")
async def test_two_disturbed_steps_and_a_manager(guard: Guard, desk: Program, payments: Sandbox) -> None:
    payments.misbehave("reset")  # the account is opened and nobody told
    task = await _onboard(guard, "CUS-3001", "dora@acme.example")
    assert _customer(desk.home, "CUS-3001") == [("Dora", "new")]
    assert _accounts(payments, "CUS-3001") == [("new", "user:alice")]
    assert payments.disturbances_left == 0
    payments.misbehave("fail")
    await _decide(guard, "approved")
    found = await ended(guard, task)
    assert found["status"] == "completed", found
    assert payments.disturbances_left == 0
    assert found["result"]["customer"] == {
        "id": "CUS-3001",
        "name": "Dora",
        "email": "dora@acme.example",
        "state": "active",
    }
    assert _accounts(payments, "CUS-3001") == [("active", "user:alice")]
    assert mails(desk.home) == 1


@pytest.mark.holds("workflow:example")
async def test_a_manager_who_says_no_leaves_nothing_behind(guard: Guard, desk: Program, payments: Sandbox) -> None:
    task = await _onboard(guard, "CUS-3002", "dora@acme.example")
    await _decide(guard, "denied")
    guard_says = (await ended(guard, task))["result"]["guard"]
    assert (guard_says["code"], guard_says["undone"]) == ("approval_denied", ["account", "customer"])
    assert (_customer(desk.home, "CUS-3002"), mails(desk.home)) == ([], 0)
    assert _accounts(payments, "CUS-3002") == [("closed", "user:alice")]


@pytest.mark.holds("workflow:example")
async def test_a_late_refusal_takes_back_even_what_a_manager_agreed_to(
    guard: Guard, desk: Program, payments: Sandbox
) -> None:
    task = await _onboard(guard, "CUS-3003", "dora@elsewhere.example")
    await _decide(guard, "approved")
    guard_says = (await ended(guard, task))["result"]["guard"]
    assert (guard_says["step"], guard_says["code"]) == ("welcome", "policy_denied")
    assert "mail goes only to our own people and to our customers" in guard_says["reason"]
    assert (_customer(desk.home, "CUS-3003"), mails(desk.home)) == ([], 0)
    assert _accounts(payments, "CUS-3003") == [("closed", "user:alice")]


@pytest.mark.holds("workflow:example")
async def test_an_agent_cannot_activate_an_account_around_the_workflow(guard: Guard, payments: Sandbox) -> None:
    opened: Any = (await call(guard, "accounts_open", customer_id="CUS-3004")).structured
    answer = await call(guard, "accounts_activate", account_id=opened["account_id"])
    assert answer.text.startswith("NOT EXECUTED")
    assert _accounts(payments, "CUS-3004") == [("new", "user:alice")]


@pytest.mark.holds("workflow:example")
async def test_a_customer_with_orders_is_not_taken_out(guard: Guard, desk: Program) -> None:
    answer = await call(guard, "customers_remove", customer_id="CUS-1001")
    assert answer.structured == {"changed": 0}
    assert _customer(desk.home, "CUS-1001") == [("Ada Okafor", "active")]
