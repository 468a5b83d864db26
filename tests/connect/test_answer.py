import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.connect.answer import MAX_RETRY_AFTER, failure_of, retry_after_seconds, value_of
from mcp_guard.connect.failure import MAX_TEXT, Failed
from mcp_guard.connect.message import Response
from mcp_guard.secrets.redact import Redactor

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def response(body: str | bytes, kind: str | None = "application/json", status: int = 200, **headers: str) -> Response:
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    if kind is not None:
        found["content-type"] = kind
    return Response(status, found, body.encode() if isinstance(body, str) else body)


def failure(given: Response, redactor: Redactor | None = None) -> Failed:
    known = redactor or Redactor()
    return failure_of(given, known.text, NOW, known.longest)


@pytest.mark.parametrize(
    ("given_response", "value"),
    [
        (response('{"a": [1, 2.5, null]}'), {"a": [1, 2.5, None]}),
        (response('{"a": 1}', "application/problem+json; charset=utf-8"), {"a": 1}),
        (response('{"a": 1}', None), {"a": 1}),
        (response("plain", "text/plain"), "plain"),
        (response('{"a": 1}', "text/plain"), '{"a": 1}'),
        (response("é".encode("latin-1"), 'text/csv; charset="ISO-8859-1"'), "é"),
        (response("", "application/json"), None),
        (response("", "text/html", 204), None),
    ],
)
def test_an_answer_has_the_value_its_type_says(given_response: Response, value: object) -> None:
    assert value_of(given_response) == value


@pytest.mark.holds("connect:strict-answers")
@pytest.mark.parametrize(
    "given_response",
    [
        response("<html>sign in</html>", "text/html"),
        response("<html>sign in</html>", "application/json"),
        response("<html>sign in</html>", None),
        response("<html/>", "application/xhtml+xml"),
        response('{"a": 1', "application/json"),
        response('{"a": 1, "a": 2}', "application/json"),
        response('{"a": NaN}', "application/json"),
        response('{"a": 1e999}', "application/json"),
        response('{"a": ' + "9" * 5000 + "}", "application/json"),
        response('"\\ud800"', "application/json"),
        response(b'{"a": "\xff"}', "application/json"),
        response("[" * 100_000, "application/json"),
        response(b"\x00\x01", "application/octet-stream"),
        response(b"\x89PNG", "image/png"),
        response(b"\xff", "text/plain"),
        response("x", "text/plain; charset=utf-7"),
        response("{}", "nonsense"),
        response("{}", "text/html, application/json"),
    ],
)
def test_an_answer_that_cannot_be_trusted_is_refused(given_response: Response) -> None:
    with pytest.raises(Failed) as failed:
        value_of(given_response)
    assert failed.value.code == "upstream_bad_response"
    assert failed.value.executed == "unknown"
    assert "sign in" not in failed.value.reason


@pytest.mark.parametrize(
    ("status", "transient", "executed", "retry"),
    [
        (400, None, "no", "changed"),
        (404, None, "no", "changed"),
        (429, "429", "no", "same"),
        (500, "5xx", "unknown", "same"),
        (503, "5xx", "unknown", "same"),
    ],
)
def test_a_status_says_what_happened(status: int, transient: str | None, executed: str, retry: str) -> None:
    failed = failure(response("{}", status=status))
    assert (failed.code, failed.transient, failed.executed, failed.retry) == (
        "upstream_error",
        transient,
        executed,
        retry,
    )
    assert str(status) in failed.reason


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("30", 30),
        (" 7 ", 7),
        ("999999999", MAX_RETRY_AFTER),
        ("9" * 400, None),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("1e3", None),
        ("0x10", None),
        ("٣", None),
        ("soon", None),
        ("NaN", None),
        ("30, 60", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 91),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Fri, 99 Dec 9999 99:99:99 GMT", None),
        ("GMT", None),
    ],
)
@pytest.mark.holds("connect:retry-after")
def test_retry_after_is_read_or_ignored(text: str | None, seconds: int | None) -> None:
    assert retry_after_seconds(text, NOW) == seconds


@given(st.text(max_size=50))
@settings(deadline=None, max_examples=200)
def test_no_retry_after_breaks_the_reader(text: str) -> None:
    wait = retry_after_seconds(text, NOW)
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER


@pytest.mark.holds("secrets:redacted")
@pytest.mark.parametrize("pad", [0, 250, 290, 299, 310, 16_000, 16_384 - 10])
@pytest.mark.parametrize("filler", ["x", " ", "\u200b"])
def test_no_part_of_a_secret_survives_in_an_excerpt(pad: int, filler: str) -> None:
    """Neither where the excerpt is cut nor where the body was."""
    secret = "QWERTZUIOPASDFGHJKL"
    redactor = Redactor()
    redactor.learn(secret)
    body = (filler * pad + secret).encode()[: 16 * 1024]
    failed = failure(Response(500, {"content-type": "text/plain"}, body, cut=True), redactor)
    assert len(failed.reason) <= MAX_TEXT + 40
    assert "QWER" not in failed.reason


@pytest.mark.holds("secrets:redacted")
def test_a_secret_pulled_apart_by_hidden_characters_is_put_together_and_redacted() -> None:
    redactor = Redactor()
    redactor.learn("QWERTZUIOP")
    assert "QWERT" not in failure(response("QWERT\u200bZUIOP", "text/plain", 400), redactor).reason


def test_an_excerpt_is_one_visible_bounded_line() -> None:
    body = "first\nsecond\x1b[31m\u202e" + "x" * 1000
    reason = failure(response(body, "text/plain", 400)).reason
    assert "\n" not in reason
    assert "\x1b" not in reason
    assert "\u202e" not in reason
    assert reason.startswith("the upstream answered 400: first second")
    assert len(reason) <= MAX_TEXT + 40


def test_an_error_page_is_not_quoted() -> None:
    assert failure(response("<h1>Oops</h1>", "text/html", 502)).reason == "the upstream answered 502"


def test_an_error_text_is_quoted() -> None:
    assert "no such order" in failure(response(json.dumps({"error": "no such order"}), status=404)).reason
