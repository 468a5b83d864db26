"""Forms and texts as bodies: an argument stays in its place, whatever it holds."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import HttpSpec
from tests.connect.test_render import rendered, texts
from tests.connect.tools import http
from tests.simulators.naughty import NAUGHTY


def posted(**body: object) -> HttpSpec:
    return http("http://h.example/", method="POST", **body)  # type: ignore[arg-type]  # the tests' own names


def kind(spec: HttpSpec, **arguments: object) -> str | None:
    return dict(rendered(spec, **arguments).headers).get("content-type")


# --- forms


@pytest.mark.holds("connect:form-fields")
@given(st.dictionaries(texts.filter(lambda text: "{" not in text and "}" not in text), texts, min_size=1, max_size=4))
@settings(deadline=None, max_examples=200)
def test_a_form_has_its_fields_and_their_values_and_no_others(fields: dict[str, str]) -> None:
    names = list(fields)
    spec = posted(form={name: f"{{a{index}}}" for index, name in enumerate(names)})
    body = rendered(spec, **{f"a{index}": fields[name] for index, name in enumerate(names)}).body
    assert isinstance(body, bytes)
    assert dict(parse_qsl(body.decode("ascii"), keep_blank_values=True)) == fields
    assert not set(b"\r\n +;") & set(body)


@pytest.mark.holds("connect:form-fields")
@pytest.mark.parametrize("text", NAUGHTY)
def test_a_naughty_string_is_one_value_of_a_form(text: str) -> None:
    body = rendered(posted(form={"x": "{x}", "y": "<{x}>"}), x=text).body
    assert isinstance(body, bytes)
    assert parse_qsl(body.decode(), keep_blank_values=True) == [("x", text), ("y", f"<{text}>")]


def test_fields_repeat_for_lists_and_vanish_when_absent() -> None:
    spec = posted(form={"tag": "{tags}", "q": "{q}", "n": "{n}", "fixed": "a b"})
    assert rendered(spec, tags=["a", "b&c=d", 1], n=True).body == b"tag=a&tag=b%26c%3Dd&tag=1&n=true&fixed=a%20b"
    assert rendered(spec, q=None).body == b"fixed=a%20b"
    assert kind(spec) == "application/x-www-form-urlencoded"


def test_a_form_of_absent_arguments_is_an_empty_body() -> None:
    assert rendered(posted(form={"q": "{q}"})).body == b""


@pytest.mark.holds("connect:form-fields")
@pytest.mark.parametrize("value", [{"a": 1}, [{"a": 1}], [["a"]], "\ud800"])
def test_a_field_is_no_object(value: object) -> None:
    with pytest.raises(Refused) as refused:
        rendered(posted(form={"q": "{q}"}), q=value)
    assert refused.value.code == "args_invalid"


# --- texts


@pytest.mark.holds("connect:text-bodies")
@pytest.mark.parametrize("text", NAUGHTY)
def test_a_lone_argument_is_the_whole_text(text: str) -> None:
    request = rendered(posted(body="{x}", content_type="text/csv"), x=text)
    assert request.body == text.encode()
    assert dict(request.headers)["content-type"] == "text/csv"


@pytest.mark.holds("connect:text-bodies")
@pytest.mark.parametrize(
    "value", ["a\nb", "a\rb", "\r\n.\r\n", "a\x00b", "a\x85b", "a\u2028b", "\t", ["a"], {"a": 1}, "\ud800"]
)
def test_within_a_text_an_argument_is_one_line(value: object) -> None:
    with pytest.raises(Refused) as refused:
        rendered(posted(body="from: {x}\nto: all\n"), x=value)
    assert refused.value.code == "args_invalid"
    assert "/x" in refused.value.reason


def test_a_text_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(Refused, match="argument /x holds half"):
        rendered(posted(body="{y} {x}"), y="fine", x="\udfff")


def test_a_text_is_rendered_and_absent_without_its_argument() -> None:
    assert rendered(posted(body="n={n} {{ok}}\n"), n=3).body == b"n=3 {ok}\n"
    assert rendered(posted(body="{x}")).body is None
    assert kind(posted(body="{x}")) is None


def test_json_written_as_text_is_not_read_again() -> None:
    spec = posted(body="{x}", content_type="application/json")
    assert rendered(spec, x='{"a": 1}').body == b'{"a": 1}'
