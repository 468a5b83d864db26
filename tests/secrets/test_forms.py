import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.secrets.forms import forms

secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=40)


@given(secret=secrets, before=st.binary(max_size=7), after=st.binary(max_size=7), url_safe=st.booleans())
@settings(deadline=None, max_examples=200)
def test_inside_any_base64_text_the_decided_part_is_known(
    secret: str, before: bytes, after: bytes, url_safe: bool
) -> None:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    text = encode(before + secret.encode() + after).decode()
    assert any(form in text for form in forms(secret))


@given(secrets)
@settings(deadline=None, max_examples=100)
def test_every_usual_escaping_is_known(secret: str) -> None:
    known = forms(secret)
    for escaped in (
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        html.escape(secret),
        secret.encode().hex(),
    ):
        assert escaped in known


@pytest.mark.parametrize("form", ["a%2fb%3dc%3fd", "a%2Fb%3Dc%3Fd"])
def test_percent_encoding_is_known_in_both_cases(form: str) -> None:
    assert form in forms("a/b=c?d")
