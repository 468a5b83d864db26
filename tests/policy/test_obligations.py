"""The `then` column: typed, placed, and nothing that is not enforced."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.model.decision import Effect, Escalation, Obligations
from mcp_guard.model.limit import Limit
from mcp_guard.policy.obligations import ObligationError, parse

APPROVAL = Effect.REQUIRE_APPROVAL


@pytest.mark.parametrize(
    ("text", "effect", "act", "expected"),
    [
        ("-", Effect.ALLOW, "call", Obligations()),
        ("approvers=role:finance", APPROVAL, "call", Obligations(approvers=("role:finance",))),
        (
            "approvers=role:finance; not=requester; expires=4h",
            APPROVAL,
            "call",
            Obligations(approvers=("role:finance",), not_requester=True, expires=14_400),
        ),
        (
            "quorum=2;approvers=[role:a, user:bob, role:a];expires=90s",
            APPROVAL,
            "*",
            Obligations(approvers=("role:a", "user:bob"), quorum=2, expires=90),
        ),
        (
            "escalate=role:boss/1h; approvers=role:a",
            APPROVAL,
            "call",
            Obligations(approvers=("role:a",), escalate=Escalation(("role:boss",), 3600)),
        ),
        (
            "approvers=role:a; expires=2d; escalate=[role:b, user:c] / 1d",
            APPROVAL,
            "*",
            Obligations(approvers=("role:a",), expires=172_800, escalate=Escalation(("role:b", "user:c"), 86_400)),
        ),
        (
            "approvers=role:a; assurance=signed",
            APPROVAL,
            "call",
            Obligations(approvers=("role:a",), assurance="signed"),
        ),
        ("rows=tenant", Effect.ALLOW, "audit", Obligations(rows="tenant")),
        ("confirm=requester", APPROVAL, "call", Obligations(confirm=True)),
        (
            "confirm=requester; approvers=role:a; not=requester; quorum=2",
            APPROVAL,
            "call",
            Obligations(approvers=("role:a",), not_requester=True, quorum=2, confirm=True),
        ),
        (
            "budget=0.5usd/month/who; rate=3/minute/tenant; concurrency=2",
            Effect.ALLOW,
            "call",
            Obligations(
                limits=(
                    Limit("rate", 3, "minute", "tenant"),
                    Limit("budget", 500_000, "month", "who", "usd"),
                    Limit("concurrency", 2),
                )
            ),
        ),
        (
            "approvers=role:a; concurrency=2/via",
            APPROVAL,
            "call",
            Obligations(approvers=("role:a",), limits=(Limit("concurrency", 2, "", "via"),)),
        ),
    ],
)
def test_parsed(text: str, effect: Effect, act: str, expected: Obligations) -> None:
    assert parse(text, effect, act) == expected


@pytest.mark.holds("policy:redact-written")
def test_places_to_be_redacted_are_json_pointers() -> None:
    then = parse("redact=[/rows/*/email, /note, /a~1b/~0, /note]", Effect.ALLOW, "call")
    assert then == Obligations(redact=("/rows/*/email", "/note", "/a~1b/~0"))
    assert Obligations.from_dict(then.as_dict()) == then
    assert parse("approvers=role:a; redact=/note", APPROVAL, "call").redact == ("/note",)


@pytest.mark.parametrize(
    ("text", "effect", "act", "code"),
    [
        ("", Effect.ALLOW, "call", "obligation_syntax"),
        ("none", Effect.ALLOW, "call", "obligation_syntax"),
        ("approvers=role:a;", APPROVAL, "call", "obligation_syntax"),
        ("-; rows=own", Effect.ALLOW, "audit", "obligation_syntax"),
        ("aprovers=role:a", APPROVAL, "call", "obligation_unknown"),
        ("Approvers=role:a", APPROVAL, "call", "obligation_unknown"),
        ("-", APPROVAL, "call", "approvers_missing"),
        ("expires=4h", APPROVAL, "call", "approvers_missing"),
        ("confirm=requester; not=requester", APPROVAL, "call", "obligation_conflict"),
        ("confirm=requester; quorum=2", APPROVAL, "call", "obligation_conflict"),
        ("confirm=requester; escalate=role:a/1h", APPROVAL, "call", "obligation_conflict"),
        ("confirm=role:a", APPROVAL, "call", "obligation_value"),
        ("approvers=requester", APPROVAL, "call", "obligation_value"),
        ("confirm=requester", Effect.ALLOW, "call", "obligation_effect"),
        ("approvers=role:a; approvers=role:b", APPROVAL, "call", "obligation_duplicate"),
        ("approvers=role:a", Effect.ALLOW, "call", "obligation_effect"),
        ("not=requester", Effect.DENY, "call", "obligation_effect"),
        ("expires=4h", Effect.ALLOW, "call", "obligation_effect"),
        ("rate=3/minute/who", Effect.DENY, "call", "obligation_effect"),
        ("rate=3/minute/who", Effect.ALLOW, "list", "obligation_effect"),
        ("rate=3/minute/who", Effect.ALLOW, "*", "obligation_effect"),
        ("redact=[/a]", Effect.DENY, "call", "obligation_effect"),
        ("redact=[/a]", Effect.ALLOW, "*", "obligation_effect"),
        ("redact=[/a]", Effect.ALLOW, "audit", "obligation_effect"),
        ("redact=", Effect.ALLOW, "call", "obligation_value"),
        ("redact=[]", Effect.ALLOW, "call", "obligation_value"),
        ("redact=[note]", Effect.ALLOW, "call", "obligation_value"),
        ("redact=[/a, ]", Effect.ALLOW, "call", "obligation_value"),
        ("redact=[/a~2]", Effect.ALLOW, "call", "obligation_value"),
        ("redact=[/a~]", Effect.ALLOW, "call", "obligation_value"),
        (f"redact=[/{'a' * 256}]", Effect.ALLOW, "call", "obligation_value"),
        (f"redact=[{', '.join(f'/a{n}' for n in range(65))}]", Effect.ALLOW, "call", "obligation_value"),
        ("rate=3/minute", Effect.ALLOW, "call", "obligation_value"),
        ("rate=3/week/who", Effect.ALLOW, "call", "obligation_value"),
        ("rate=0/minute/who", Effect.ALLOW, "call", "obligation_value"),
        ("rate=-3/minute/who", Effect.ALLOW, "call", "obligation_value"),
        ("rate=3/minute/who/via", Effect.ALLOW, "call", "obligation_value"),
        ("budget=500/day/who", Effect.ALLOW, "call", "obligation_value"),
        ("budget=0usd/day/who", Effect.ALLOW, "call", "obligation_value"),
        ("budget=-5usd/day/who", Effect.ALLOW, "call", "obligation_value"),
        ("budget=1e9usd/day/who", Effect.ALLOW, "call", "obligation_value"),
        ("budget=0.0000001usd/day/who", Effect.ALLOW, "call", "obligation_value"),
        ("budget=1000000001usd/day/who", Effect.ALLOW, "call", "obligation_value"),
        ("budget=5calls/day/who", Effect.ALLOW, "call", "obligation_value"),
        ("budget=5usd/hour/who", Effect.ALLOW, "call", "obligation_value"),
        ("budget=5usd/day/role:a", Effect.ALLOW, "call", "obligation_value"),
        ("concurrency=0", Effect.ALLOW, "call", "obligation_value"),
        ("concurrency=2/", Effect.ALLOW, "call", "obligation_value"),
        ("concurrency=٣", Effect.ALLOW, "call", "obligation_value"),
        ("rows=all", Effect.ALLOW, "call", "obligation_effect"),
        ("rows=all", Effect.ALLOW, "*", "obligation_effect"),
        ("rows=all", Effect.DENY, "audit", "obligation_effect"),
        ("approvers=role:a; rows=all", APPROVAL, "call", "obligation_effect"),
        ("approvers=", APPROVAL, "call", "obligation_value"),
        ("approvers=finance", APPROVAL, "call", "obligation_value"),
        ("approvers=*", APPROVAL, "call", "obligation_value"),
        ("approvers=agent:x", APPROVAL, "call", "obligation_value"),
        ("approvers=[role:a, ]", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; not=approver", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; quorum=0", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; quorum=2.5", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; quorum=٣", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; quorum=" + "9" * 5000, APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; expires=4", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; expires=0s", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; expires=500ms", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; expires=999999999d", APPROVAL, "call", "obligation_value"),
        ("assurance=signed", Effect.ALLOW, "call", "obligation_effect"),
        ("approvers=role:a; assurance=declared", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; assurance=Signed", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; assurance=", APPROVAL, "call", "obligation_value"),
        ("escalate=role:b/1h", Effect.ALLOW, "call", "obligation_effect"),
        ("escalate=role:b/1h", APPROVAL, "call", "approvers_missing"),
        ("approvers=role:a; escalate=role:b", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; escalate=role:b/", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; escalate=/1h", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; escalate=boss/1h", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; escalate=agent:b/1h", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; escalate=role:b/0s", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; escalate=role:b/1h/2h", APPROVAL, "call", "obligation_value"),
        ("approvers=role:a; expires=1h; escalate=role:b/1h", APPROVAL, "call", "escalate_too_late"),
        ("approvers=role:a; escalate=role:b/24h", APPROVAL, "call", "escalate_too_late"),
        ("approvers=[role:a, role:b]; escalate=role:b/1h", APPROVAL, "call", "escalate_to_nobody_new"),
        ("rows=mine", Effect.ALLOW, "audit", "obligation_value"),
    ],
)
def test_refused(text: str, effect: Effect, act: str, code: str) -> None:
    with pytest.raises(ObligationError) as caught:
        parse(text, effect, act)
    assert caught.value.code == code
    assert caught.value.hint
    assert 0 <= caught.value.offset <= len(text)


def test_the_place_of_the_part_is_named() -> None:
    with pytest.raises(ObligationError) as caught:
        parse("approvers=role:a;  budget=1usd/day/me", APPROVAL, "call")
    assert caught.value.offset == 19


@given(
    st.text(alphabet="aproves=;:-[], not123hd", max_size=40)
    | st.text(alphabet="0123/.budgetrconywhusdm=;", max_size=30),
    st.sampled_from(Effect),
    st.sampled_from(["call", "audit"]),
)
@settings(deadline=None, max_examples=300)
def test_any_text_parses_or_is_refused(text: str, effect: Effect, act: str) -> None:
    try:
        found = parse(text, effect, act)
    except ObligationError:
        return
    assert isinstance(found, Obligations)
    assert bool(found.approvers) is (effect is APPROVAL)
