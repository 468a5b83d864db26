import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.secrets.redact import REDACTED, Redactor

SECRET = "pk-live/Zürich&4f9+c=1"


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor()
    made.learn(SECRET)
    return made


@pytest.mark.holds("secrets:redacted")
@pytest.mark.parametrize(
    "carrier",
    [
        SECRET,
        f"key={quote(SECRET, safe='')}&x=1",
        json.dumps({"nested": SECRET}),
        json.dumps(json.dumps({"twice": SECRET})),
        "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode(),
        "user1 " + base64.urlsafe_b64encode(f"us:{SECRET}".encode()).decode(),
        SECRET.encode().hex(),
        f"<input value='{SECRET}'>".replace("&", "&amp;"),
    ],
)
def test_a_known_value_is_found_in_every_disguise(redactor: Redactor, carrier: str) -> None:
    clean = redactor.text(carrier)
    assert REDACTED in clean
    assert "4f9" not in clean
    assert base64.b64encode(SECRET.encode()).decode()[4:20] not in clean


@pytest.mark.holds("secrets:redacted")
@given(
    st.recursive(
        st.sampled_from([SECRET, f"x{SECRET}y", quote(SECRET)]) | st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([SECRET, "a"]), inner, max_size=3),
        max_leaves=12,
    )
)
@settings(deadline=None, max_examples=100)
def test_nothing_in_a_json_value_keeps_it(value: object) -> None:
    redactor = Redactor()
    redactor.learn(SECRET)
    clean = json.dumps(redactor.value(value), ensure_ascii=False)
    assert SECRET not in clean
    assert quote(SECRET) not in clean


@pytest.mark.parametrize(
    "text",
    [
        "mcpg_abcdefghijklmnop_0123456789abcdef",
        "Authorization: Bearer abcdefghijklmnopqrstuvwxyz012345",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "github_pat_11ABCDEFG0123456789_abcdefghij",
        "glpat-" + "x1Y2z3" * 4,
        "xoxb-" + "123456-abcDEF" * 2,
        "sk_live_" + "a1B2c3" * 4,
        "rk_test_" + "a1B2c3" * 4,
        "sk-ant-api03-" + "a1_B2-" * 6,
        "sk-proj-" + "a1_B2-" * 6,
        "sk-" + "a1B2c3d4" * 5,
        "AIza" + "a1B2c-_" * 5,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0abc.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIEow and then it is cut off",
    ],
)
@pytest.mark.holds("secrets:redacted")
def test_what_has_the_shape_of_a_credential_is_redacted_unlearned(text: str) -> None:
    redactor = Redactor()
    clean = redactor.text(f"before {text} after")
    assert clean.startswith("before ")
    assert REDACTED in clean
    assert text[-12:] not in clean
    assert redactor.value({"a": [text]}) == {"a": [redactor.text(text)]}


@pytest.mark.parametrize(
    "text",
    [
        "bearer of bad news",
        "the basic responsibilities of a clerk",
        "eyJ",
        "a ghp_short one",
        "task-0123456789abcdef0123456789abcdef",
        "sk-bratislava-stare-mesto-hlavne-namestie",
        "desk-sk-1 and xoxo-hugs-and-kisses",
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_ordinary_text_is_left_alone(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == text


def test_a_value_without_a_hit_is_the_same_object(redactor: Redactor) -> None:
    value = {"rows": [{"id": 1, "name": "x"}], "truncated": False}
    assert redactor.value(value) is value


def test_a_number_that_is_a_secret_is_redacted() -> None:
    redactor = Redactor()
    redactor.learn("7305196428")
    assert redactor.value({"pin": 7305196428, "other": 12, "flag": True}) == {
        "pin": REDACTED,
        "other": 12,
        "flag": True,
    }


def test_two_secrets_as_keys_stay_two_members() -> None:
    redactor = Redactor()
    redactor.learn("first-secret")
    redactor.learn("second-secret")
    clean = redactor.value({"first-secret": 1, "second-secret": 2})
    assert clean == {REDACTED: 1, f"{REDACTED} 2": 2}


def test_a_secret_that_holds_another_is_redacted_whole() -> None:
    redactor = Redactor()
    redactor.learn("abcdef")
    redactor.learn("abcdefghi")
    assert redactor.text("abcdefghi") == REDACTED


def test_short_values_are_not_learned() -> None:
    redactor = Redactor()
    redactor.learn("yes")
    assert redactor.text("yes, yes") == "yes, yes"


@pytest.mark.parametrize(
    "text",
    ["eyJ" * 200_000, "bearer " * 100_000, "mcpg_mcpg " * 100_000, "gh" * 300_000, "sk-" * 200_000, "xoxb-" * 100_000],
)
def test_hostile_text_comes_back_as_it_was(redactor: Redactor, text: str) -> None:
    """With a pattern that starts over inside its own run, each of these would take minutes."""
    assert redactor.text(text) == text


def test_one_unfinished_private_key_hides_all_that_follows(redactor: Redactor) -> None:
    assert redactor.text("a -----BEGIN PRIVATE KEY-----" * 7_000) == f"a {REDACTED}"
