"""Messages about approvals as values: what they say, how they are signed, and when they are sent again."""

import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.approval.webhooks import ATTEMPTS, STATES, Hook, body, headers, key_of, pause_us
from mcp_guard.model.moves import ApprovalEvent

REQUEST = ApprovalRequest(
    id="a" * 32,
    task="t" * 32,
    step="call",
    tool="payments_refund",
    binds="b",
    requester="user:alice",
    client="agent:local",
    tenant="acme",
    chain=(),
    rule="r",
    reason="why",
    approvers=("role:finance",),
    not_requester=True,
    quorum=2,
    created_at=1_790_000_000_000_000,
    expires_at=1_790_000_600_000_000,
    summary=("payments_refund", "amount: 5"),
)


@pytest.mark.holds("webhooks:standard")
def test_a_message_is_signed_as_the_specification_shows() -> None:
    """With the values its own libraries are tested with."""
    message = b'{"test": 2432232314}'
    found = headers(
        key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, message
    )
    assert dict(found) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.holds("webhooks:standard")
@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!" + "A" * 40, "whsec_" + "A" * 100, "é"],
)
def test_a_secret_that_is_short_long_or_none_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_ and the base64") as refused:
        key_of(secret)
    assert secret not in str(refused.value) or secret in ("", "whsec_")


@pytest.mark.holds("webhooks:says-little")
def test_a_message_says_who_waits_for_whom_and_no_value_unless_that_is_wanted() -> None:
    quiet = json.loads(body("requested", REQUEST.created_at, REQUEST, REQUEST.approvers, with_summary=False))
    assert quiet == {
        "type": "approval.requested",
        "timestamp": "2026-09-21T14:13:20+00:00",
        "data": {
            "approval_id": REQUEST.id,
            "task_id": REQUEST.task,
            "tool": "payments_refund",
            "requester": "user:alice",
            "via": "agent:local",
            "tenant": "acme",
            "approvers": ["role:finance"],
            "quorum": 2,
            "expires_at": "2026-09-21T14:23:20+00:00",
        },
    }
    telling = json.loads(body("requested", REQUEST.created_at, REQUEST, REQUEST.approvers, with_summary=True))
    assert telling["data"] == quiet["data"] | {"summary": ["payments_refund", "amount: 5"]}


@pytest.mark.holds("webhooks:says-little")
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), max_size=3))
def test_whatever_stands_in_a_summary_stays_in_it(lines: list[str]) -> None:
    found = body("requested", 1, replace(REQUEST, summary=tuple(lines)), ("role:a",), with_summary=True)
    read = json.loads(found)
    assert read["data"].pop("summary") == lines
    assert read == json.loads(body("requested", 1, REQUEST, ("role:a",), with_summary=False))


@pytest.mark.holds("webhooks:retried")
def test_pauses_grow_up_to_six_hours_and_all_of_them_last_about_a_day() -> None:
    seconds = [pause_us("msg_a", attempts) / 1_000_000 for attempts in range(1, ATTEMPTS)]
    wanted = [5, 20, 80, 320, 1280, 5120, 20_480, 21_600, 21_600]
    assert all(least <= found <= 1.25 * least for least, found in zip(wanted, seconds, strict=True))
    assert 16 * 3600 < sum(seconds) < 30 * 3600
    assert pause_us("msg_a", 10_000) < 8 * 3600 * 1_000_000
    assert len({pause_us(f"msg_{number}", 1) for number in range(20)}) == 20, "not all at the same time"


def test_every_event_is_true_in_a_state() -> None:
    assert set(STATES) == set(get_args(ApprovalEvent))


def test_a_hook_is_told_of_its_events_and_tenants_only() -> None:
    hook = Hook("h", frozenset({"requested"}), frozenset({"acme"}), summary=False, address="x")
    assert hook.wants("requested", "acme")
    assert not hook.wants("denied", "acme")
    assert not hook.wants("requested", "globex")
    assert replace(hook, tenants=frozenset()).wants("requested", "globex")
