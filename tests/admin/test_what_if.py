"""Asking without acting gives the answer acting would have got."""

from pathlib import Path

import pytest

from mcp_guard.admin.what_if import WhatIf, principal_of
from mcp_guard.build import Definition, define
from mcp_guard.config.load import load
from mcp_guard.demo.home import SANDBOX_PORT, copy_home
from mcp_guard.model.errors import UnknownTool
from mcp_guard.model.principal import Principal
from tests.simulators.clock import FakeClock

REFUND = {"order_id": "ORD-1002", "amount": 40}


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Definition:
    home: Path = copy_home(tmp_path_factory.mktemp("what-if") / "desk", SANDBOX_PORT)
    rules = home / "policy" / "policy.csv"
    rules.write_text(
        rules.read_text(encoding="utf-8")
        + "p, not-by-bob, *, *, *, call, payments_refund, r.ctx.args.requested_by == 'user:bob', deny, -, not Bob\n"
        + "p, bob-sees, user:bob, *, acme, list, payments_refund, True, allow, -, Bob sees it\n"
        + "p, mallory-sees, user:mallory, *, acme, list, payments_refund, True, allow, -, Mallory sees it\n",
        encoding="utf-8",
    )
    principals = home / "policy" / "principals.yaml"
    text = principals.read_text(encoding="utf-8")
    principals.write_text(
        text.replace(
            '"user:bob":\n    tenant: acme\n    scopes: [orders:read]',
            '"user:bob":\n    tenant: acme\n    scopes: [payments:refund]',
        ),
        encoding="utf-8",
    )
    return define(load(home, environ={}))


@pytest.fixture
def what_if(definition: Definition) -> WhatIf:
    return WhatIf(definition.catalog, definition.policy, definition.environment, FakeClock())


def who(definition: Definition, subject: str, client: str = "agent:local") -> Principal:
    return principal_of(definition.directory, subject, client, "acme")


def test_the_order_is_list_scope_call(definition: Definition, what_if: WhatIf) -> None:
    hidden = what_if.ask(who(definition, "user:carol"), None, "payments_refund", REFUND)
    assert hidden.decision.rule == "guard:default", "carol does not even see it"
    scopeless = what_if.ask(who(definition, "user:mallory"), None, "payments_refund", REFUND)
    assert (scopeless.decision.rule, scopeless.near) == ("guard:scope", ())
    allowed = what_if.ask(who(definition, "user:alice"), None, "payments_refund", REFUND)
    assert (allowed.decision.rule, allowed.violations) == ("refund-small", ())


@pytest.mark.holds("cli:policy-check")
def test_what_the_guard_binds_is_part_of_the_question(definition: Definition, what_if: WhatIf) -> None:
    verdict = what_if.ask(who(definition, "user:bob"), None, "payments_refund", REFUND)
    assert verdict.decision.rule == "not-by-bob"


def test_a_justification_is_no_argument(definition: Definition, what_if: WhatIf) -> None:
    verdict = what_if.ask(who(definition, "user:alice"), None, "payments_refund", {**REFUND, "justification": "x"})
    assert (verdict.decision.rule, verdict.violations) == ("refund-small", ())


def test_arguments_that_would_never_get_there(definition: Definition, what_if: WhatIf) -> None:
    verdict = what_if.ask(who(definition, "user:alice"), None, "payments_refund", {"amount": "hunter2"})
    assert len(verdict.violations) == 2
    assert "hunter2" not in str(verdict)
    assert not verdict.decision.allowed


def test_the_act_people_mean(definition: Definition, what_if: WhatIf) -> None:
    carol = who(definition, "user:carol")
    assert what_if.ask(carol, None, "audit:records", {}).decision.rule == "audit-auditor"
    assert what_if.ask(carol, None, "guard:whoami", {}).decision.rule == "whoami-read"
    assert what_if.ask(carol, "list", "orders_get", {}).decision.rule == "guard:default"
    bob = who(definition, "user:bob")
    assert what_if.ask(bob, "approve", "payments_refund", REFUND).decision.rule == "finance-decides-refunds"


def test_nothing_of_that_name(definition: Definition, what_if: WhatIf) -> None:
    with pytest.raises(UnknownTool) as caught:
        what_if.ask(who(definition, "user:alice"), None, "payments_refnd", {})
    assert "payments_refund" in caught.value.hint


def test_the_shape(definition: Definition, what_if: WhatIf) -> None:
    shown = what_if.ask(who(definition, "user:alice"), None, "payments_refund", REFUND).as_dict()
    assert list(shown) == ["effect", "rule", "reason", "then", "near", "policy"]
    assert shown["policy"] == definition.policy.version
