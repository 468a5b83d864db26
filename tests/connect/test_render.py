import json
from typing import NoReturn
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.connect.message import Request
from mcp_guard.connect.render import plan, render
from mcp_guard.kit.references import Reference
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import HttpSpec
from tests.connect.tools import http
from tests.simulators.naughty import NAUGHTY

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def no_secrets(_: Reference) -> NoReturn:
    raise AssertionError("nothing is to be resolved here")


def rendered(spec: HttpSpec, **arguments: object) -> Request:
    return render(plan(spec), arguments, no_secrets, {})


def sent(spec: HttpSpec, **arguments: object) -> object:
    body = rendered(spec, **arguments).body
    assert body is None or isinstance(body, bytes)
    return None if body is None else json.loads(body)


# --- path


@pytest.mark.holds("connect:path-segments")
@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            ".",
            "..",
            "/",
            "a/b",
            "../admin",
            "\\",
            "..\\x",
            "a\\b",
            "%2e",
            "%2e%2e",
            "%2E.",
            "..%2f",
            "%2f",
            "a%2fb",
            "a%5cb",
        ),
        *(
            "%252e%252e",
            "%25252e%25252e%25252f",
            "%2525252525252e",
            "a\x00b",
            "a\nb",
            "a\rb",
            "\x7f",
            "\x85",
            "a%00b",
            "a%0d%0aX: 1",
        ),
        *("a\u2028b", "%c0%ae%c0%ae", "%ff", "\ud800", None, [], ["a"], {"a": 1}),
    ],
)
@pytest.mark.parametrize("url", ["http://h.example/v1/{x}/y", "http://h.example/v1/{x}", "http://h.example/v1/a{x}b/y"])
def test_what_could_leave_its_segment_is_refused(url: str, value: object) -> None:
    with pytest.raises(Refused) as refused:
        rendered(http(url), x=value)
    assert refused.value.code == "args_invalid"
    assert "/x" in refused.value.reason
    assert "admin" not in refused.value.reason


def test_a_missing_path_argument_is_refused() -> None:
    with pytest.raises(Refused, match="argument /x is needed"):
        rendered(http("http://h.example/{x}"))


@pytest.mark.holds("connect:path-segments")
@given(texts)
@settings(deadline=None, max_examples=300)
def test_a_path_argument_is_exactly_one_segment_or_refused(value: str) -> None:
    try:
        target = rendered(http("http://h.example/v1/{x}/end"), x=value).target
    except Refused:
        return
    assert target.isascii()
    assert not set("?#\\ ") & set(target)
    empty, first, segment, last = target.split("/")
    assert (empty, first, last) == ("", "v1", "end")
    assert unquote(segment) == value
    assert segment not in ("", ".", "..")


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("a b", "a%20b"),
        ("a?b#c", "a%3Fb%23c"),
        ("100%", "100%25"),
        ("ö", "%C3%B6"),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        ("..;", "..%3B"),
    ],
)
def test_a_path_argument_is_percent_encoded(value: object, segment: str) -> None:
    assert rendered(http("http://h.example/{x}"), x=value).target == f"/{segment}"


def test_literal_path_text_stays_and_braces_are_encoded() -> None:
    assert rendered(http("http://h.example/a%20b/{{c}}/ä;v=1")).target == "/a%20b/%7Bc%7D/%C3%A4;v=1"


def test_an_address_without_a_path_asks_for_the_root() -> None:
    assert rendered(http("https://h.example")).target == "/"


@pytest.mark.holds("connect:path-segments")
@pytest.mark.parametrize(
    "url",
    [
        *("{x}://h.example/", "http://{x}/", "http://h.example:{x}/", "http://{x}.example/", "http://h.example{x}/"),
        *("h.example/", "/x", "http://h.example/?a={x}", "http://h.example/#f", "http://h.example/${secret:key}"),
        *(
            "http://h.example/../x",
            "http://h.example/./",
            "http://h.example/%2e%2e/x",
            "http://h.example/{x",
            "http://h.example/{x.y}",
        ),
    ],
)
def test_a_malformed_address_cannot_be_planned(url: str) -> None:
    with pytest.raises(ValueError):
        plan(http(url))


# --- query


@given(st.dictionaries(texts.filter(lambda text: "{" not in text and "}" not in text), texts, max_size=3))
@settings(deadline=None, max_examples=100)
def test_query_values_arrive_as_they_are(parameters: dict[str, str]) -> None:
    names = list(parameters)
    spec = http("http://h.example/", query={name: f"{{a{index}}}" for index, name in enumerate(names)})
    target = rendered(spec, **{f"a{index}": parameters[name] for index, name in enumerate(names)}).target
    assert dict(parse_qsl(target.partition("?")[2], keep_blank_values=True)) == parameters


def test_query_parameters_repeat_for_lists_and_vanish_when_absent() -> None:
    spec = http("http://h.example/", query={"tag": "{tags}", "q": "{q}", "sort": "name:{order}", "fixed": "1"})
    assert rendered(spec, tags=["a", "b&c", 1]).target == "/?tag=a&tag=b%26c&tag=1&fixed=1"
    assert rendered(spec, q=None, order="up").target == "/?sort=name%3Aup&fixed=1"


@pytest.mark.parametrize("value", [{"a": 1}, [{"a": 1}], [["a"]]])
def test_a_query_parameter_is_no_object(value: object) -> None:
    with pytest.raises(Refused, match="/q is a list or an object"):
        rendered(http("http://h.example/", query={"q": "{q}"}), q=value)


# --- headers


@pytest.mark.holds("connect:header-lines")
@pytest.mark.parametrize(
    "value",
    [
        "a\r\nX-Evil: 1",
        "a\nb",
        "a\rb",
        "a\x00b",
        "\x7f",
        "日本",
        "\u2028",
        " lead",
        "trail ",
        "\t",
        "a\x1fb",
        "\x85",
        ["a"],
        {"a": 1},
    ],
)
@pytest.mark.parametrize("template", ["{x}", "v={x}"])
def test_a_header_is_one_line_of_latin_text(template: str, value: object) -> None:
    with pytest.raises(Refused) as refused:
        rendered(http("http://h.example/", headers={"X-A": template}), x=value)
    assert refused.value.code == "args_invalid"
    assert "/x" in refused.value.reason
    assert "Evil" not in refused.value.reason


def test_headers_are_rendered_and_vanish_when_absent() -> None:
    spec = http("http://h.example/", headers={"X-A": "v {x}", "X-B": "{y}", "Accept": "text/plain", "X-C": ""})
    headers = dict(rendered(spec, x="é").headers)
    assert headers["x-a"] == "v é"
    assert "x-b" not in headers
    assert headers["accept"] == "text/plain"
    assert headers["x-c"] == ""


def test_a_reference_is_resolved_in_its_place_and_the_idempotency_key_wins() -> None:
    spec = http("http://h.example/", headers={"Authorization": "Bearer ${secret:key}", "Idempotency-Key": "mine"})
    request = render(plan(spec), {}, lambda reference: f"value-of-{reference.name}", {"Idempotency-Key": "k1"})
    assert dict(request.headers)["authorization"] == "Bearer value-of-key"
    assert dict(request.headers)["idempotency-key"] == "k1"


@pytest.mark.holds("connect:header-lines")
@pytest.mark.parametrize("value", ["two\nlines", "not latin 日本", "nul\x00"])
def test_a_secret_that_is_no_header_value_is_named_and_not_shown(value: str) -> None:
    spec = http("http://h.example/", headers={"Authorization": "${secret:key}"})
    with pytest.raises(Refused) as refused:
        render(plan(spec), {}, lambda _: value, {})
    assert refused.value.code == "upstream_unavailable"
    assert "${secret:key}" in refused.value.reason
    assert value not in refused.value.reason


def test_an_argument_that_looks_like_a_reference_is_text() -> None:
    request = rendered(http("http://h.example/", headers={"X-A": "{x}"}, json={"a": "{x}"}), x="${secret:key}")
    assert dict(request.headers)["x-a"] == "${secret:key}"
    assert request.body == b'{"a":"${secret:key}"}'


# --- json


@pytest.mark.holds("connect:json-unchanged")
@given(values)
@settings(deadline=None, max_examples=200)
def test_a_lone_placeholder_keeps_type_and_value(value: object) -> None:
    assert sent(http("http://h.example/", method="POST", json={"a": ["{x}"], "n": 1}), x=value) == {
        "a": [value],
        "n": 1,
    }


@pytest.mark.holds("connect:json-unchanged")
@pytest.mark.parametrize("text", NAUGHTY)
def test_a_naughty_string_is_the_same_string_in_the_body(text: str) -> None:
    spec = http("http://h.example/", method="POST", json={"alone": "{x}", "inside": "<{x}>"})
    assert sent(spec, x=text) == {"alone": text, "inside": f"<{text}>"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "n=1"), (1.5, "n=1.5"), (True, "n=true"), ([1, "a"], 'n=[1,"a"]'), ({"a": None}, 'n={"a":null}')],
)
def test_an_embedded_placeholder_becomes_text(value: object, text: str) -> None:
    assert sent(http("http://h.example/", method="POST", json={"a": "n={x}"}), x=value) == {"a": text}


def test_absent_arguments_leave_their_members_out() -> None:
    spec = http(
        "http://h.example/",
        method="POST",
        json={"a": "{x}", "b": ["{x}", "{y}"], "c": "v {x}", "d": {"e": "{x}"}, "f": "{z}"},
    )
    assert sent(spec, y=1, z=None) == {"b": [1], "d": {}, "f": None}


def test_a_body_that_is_one_absent_argument_is_no_body() -> None:
    assert rendered(http("http://h.example/", method="POST", json="{x}")).body is None


@pytest.mark.holds("connect:json-unchanged")
@given(st.text(st.sampled_from("{}$:xsecrt%"), max_size=20))
@settings(deadline=None, max_examples=100)
def test_values_are_never_templates(text: str) -> None:
    spec = http("http://h.example/", method="POST", json={"alone": "{x}", "inside": "{{{x}}}"})
    assert sent(spec, x=text, s="wrong", secret="wrong") == {"alone": text, "inside": "{" + text + "}"}
