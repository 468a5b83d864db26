"""What people are shown of another server's question, and what may not be asked or answered at all."""

from collections.abc import Mapping
from typing import Any

import pytest

from mcp_guard.connect.mcp.answers import is_answer
from mcp_guard.connect.mcp.forms import MOST_FIELDS, SEND, NotAskedError, form
from mcp_guard.model.back_channel import Form

NAME: Mapping[str, Any] = {"type": "string", "title": "Your name"}


def _form(message: str = "Who?", properties: Mapping[str, Any] | None = None, **more: Any) -> Form:
    schema = {"type": "object", "properties": {"name": NAME} if properties is None else properties, **more}
    return form("notes", "say", {"message": message, "requestedSchema": schema}, lambda text: text)


def _why(message: str = "Who?", properties: Mapping[str, Any] | None = None, **more: Any) -> str:
    with pytest.raises(NotAskedError) as refused:
        _form(message, properties, **more)
    return refused.value.why


def _field(**field: Any) -> Any:
    properties: Any = _form(properties={"x": field}).schema["properties"]
    return properties["x"]


@pytest.mark.holds("upstream:asks-marked")
@pytest.mark.parametrize(
    "said",
    [
        "mcp-guard asks: do you confirm the payment?",
        'The server "bank" asks you this while it carries out its tool pay.',
        "hello\n\nApproved by your administrator.\n> quoted?",
        "a\r\nb\u2028c\u0085d\x0b\x0ce",
        "\u202eeno tnelis a\u200b",
        "\x1b[2J\x1b[1;1HNothing to see",
    ],
)
def test_nothing_a_server_says_looks_like_a_line_of_ours(said: str) -> None:
    head, empty, *lines = _form(said).message.split("\n")
    assert head.startswith('The server "notes" asks you this while it carries out its tool say.')
    assert empty == ""
    assert all(line.startswith("> ") for line in lines)
    assert len(lines) == said.count("\n") + 1
    assert all(line.isprintable() for line in lines)


@pytest.mark.holds("upstream:asks-marked", "secrets:nowhere-in-clear")
@pytest.mark.parametrize("said", ["it is hunter2!", "it is hun\u200bter2!"])
def test_words_are_redacted_also_behind_hidden_characters(said: str) -> None:
    fields = {"name": {"type": "string", "title": said, "description": said}}
    asked = {"message": said, "requestedSchema": {"type": "object", "properties": fields}}
    made = form("notes", "say", asked, lambda text: text.replace("hunter2", "[redacted]"))
    shown = made.message + str(made.schema)
    assert shown.count("it is [redacted]!") == 3
    assert "ter2" not in shown


@pytest.mark.holds("upstream:asks-marked", "upstream:hostile")
def test_words_are_bounded() -> None:
    assert _why("x" * 10_001) == "schema"
    message = _form("x" * 5_000 + "\n" * 500).message
    assert len(message) < 1_000
    assert message.endswith("(it says more, which is not shown)")
    field = _field(type="string", title="t" * 900, description="d\u202e" * 900)
    assert len(field["title"]) < 100
    assert len(field["description"]) <= 302
    assert "\u202e" not in field["description"]


@pytest.mark.holds("upstream:asks-marked")
def test_fields_say_whose_they_are_and_the_last_one_is_ours() -> None:
    made = _form(required=["name"])
    properties: Any = made.schema["properties"]
    assert list(properties) == ["name", SEND]
    assert properties["name"]["title"] == "notes: Your name"
    assert (properties[SEND]["title"], properties[SEND]["enum"]) == ("Send this to notes?", ["no", "yes"])
    assert made.schema["required"] == ["name", SEND]


@pytest.mark.holds("upstream:asks-no-secrets")
@pytest.mark.parametrize(
    ("name", "title", "description"),
    [
        ("password", "", ""),
        ("userPassword", "", ""),
        ("api_key", "", ""),
        ("x", "API key", ""),
        ("x", "Paste your access-token", ""),
        ("x", "", "the one-time code we sent you"),
        ("otp", "", ""),
        ("PIN", "", ""),
        ("cardNumber", "", ""),
        ("x", "P a s s w o r d", ""),
        ("x", "p\u0430ssw\u043erd", ""),
        ("x", "pass\u200bword", ""),
        ("x", "\uff50assword", ""),
        ("x", "pa55w0rd", ""),
        ("x", "Contraseña", ""),
        ("token", "", ""),
    ],
)
def test_secrets_are_not_asked_for(name: str, title: str, description: str) -> None:
    assert _why(properties={name: {"type": "string", "title": title, "description": description}}) == "sensitive"


@pytest.mark.holds("upstream:asks-no-secrets")
@pytest.mark.parametrize(
    "said",
    [
        "Enter your password",
        "The verification code, please",
        "your private  key:",
        "What is your PIN?",
        "Paste the token here",
        "Your secret, please",
        "The OTP",
        "Enter the 6-digit code we sent you",
        "Your log-in code",
        "your access code",
        "passw\u03bfrd",
        "\u0442o\u043aen",
        "Kennwort",
    ],
)
def test_nor_in_the_text_above_a_field_with_a_harmless_name(said: str) -> None:
    assert _why(said) == "sensitive"


@pytest.mark.parametrize(
    "said",
    ["Which country code?", "Do you opt in?", "Spinning or pinning?", "A mountain pass", "Which key on the map?"],
)
def test_harmless_words_are_put(said: str) -> None:
    assert said in _form(said).message


@pytest.mark.parametrize("name", ["name", "keyboard", "passenger", "spinning", "monkey", "author", "compass"])
def test_harmless_names_are_asked_for(name: str) -> None:
    assert name in str(_form(properties={name: {"type": "string"}}).schema)


@pytest.mark.holds("upstream:asks-flat")
@pytest.mark.parametrize(
    "field",
    [
        {"type": "object", "properties": {}},
        {"type": "array", "items": {"type": "object"}},
        {"type": "array"},
        {"type": ["string", "null"]},
        {"type": "string", "pattern": "(a+)+$"},
        {"type": "string", "format": "password"},
        {"type": "string", "enum": []},
        {"type": "string", "enum": ["a\u202eb"]},
        {"type": "string", "enum": ["a"] * 51},
        {"type": "string", "enum": ["x" * 101]},
        {"type": "string", "enum": ["a"], "enumNames": ["a", "b"]},
        {"type": "string", "oneOf": [{"const": "a"}]},
        {"type": "string", "minLength": -1},
        {"type": "string", "maxLength": True},
        {"type": "number", "minimum": "1"},
        {"type": "number", "minimum": float("nan")},
        {"type": "number", "maximum": float("inf")},
        {"type": "integer", "maximum": 10**400},
        {"type": "string", "description": "d" * 10_001},
        {"type": "string", "title": 7},
        {"$ref": "#/$defs/x"},
        {},
        "string",
        None,
    ],
)
def test_only_flat_fields_of_simple_types_are_asked_for(field: Any) -> None:
    assert _why(properties={"x": field}) == "schema"


@pytest.mark.holds("upstream:asks-flat")
@pytest.mark.parametrize(
    ("properties", "more"),
    [
        ({SEND: {"type": "boolean"}}, {}),
        ({"a\u202eb": {"type": "boolean"}}, {}),
        ({"": {"type": "boolean"}}, {}),
        ({f"f{n}": {"type": "boolean"} for n in range(MOST_FIELDS + 1)}, {}),
        ({}, {"required": ["x"]}),
        ({}, {"required": "x"}),
        ({}, {"allOf": []}),
    ],
)
def test_forms_are_small_and_say_nothing_else(properties: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    assert _why(properties=properties, **more) == "schema"


def test_an_address_to_visit_is_not_passed_on() -> None:
    with pytest.raises(NotAskedError) as refused:
        form("notes", "say", {"mode": "url", "message": "Log in", "url": "https://evil.example"}, str)
    assert refused.value.why == "mode"


def test_what_is_filled_in_beforehand_is_left_out() -> None:
    assert "default" not in _field(type="string", default="yes")


@pytest.mark.holds("upstream:asks-answered")
@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "abc"], ["a", "abcd", 7, None, "a\u202eb"]),
        ({"type": "string"}, ["", "x" * 2_000], ["x" * 2_001]),
        ({"type": "string", "format": "email"}, ["a@b.example"], ["a", "a b@c"]),
        ({"type": "string", "format": "date"}, ["2026-07-28"], ["28.7.2026"]),
        ({"type": "string", "format": "date-time"}, ["2026-07-28T10:00:00Z"], ["2026-07-28"]),
        ({"type": "string", "format": "uri"}, ["https://a.example/"], ["nothing"]),
        ({"type": "integer", "minimum": 1, "maximum": 3}, [1, 3, 2.0], [0, 4, 1.5, True, "1"]),
        ({"type": "number"}, [1, 1.5], [float("nan"), float("inf"), False]),
        ({"type": "boolean"}, [True, False], [1, "true"]),
        ({"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]}, ["a"], ["A", "c", ["a"]]),
        ({"type": "string", "oneOf": [{"const": "a", "title": "A"}]}, ["a"], ["A"]),
        ({"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "minItems": 1}, [["a"]], [[], ["c"], "a"]),
        ({"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}}, [[], ["a"]], [["a", "a"], [1]]),
    ],
)
def test_an_answer_fits_its_field(field: Mapping[str, Any], good: list[Any], bad: list[Any]) -> None:
    schema: Any = _form(properties={"x": field}).schema
    assert [value for value in good if not is_answer({"x": value, SEND: "yes"}, schema)] == []
    assert [value for value in bad if is_answer({"x": value, SEND: "yes"}, schema)] == []


@pytest.mark.holds("upstream:asks-answered")
@pytest.mark.parametrize("content", [{}, {"name": "a"}, {"name": "a", SEND: "yes", "more": 1}, {SEND: "yes"}])
def test_an_answer_has_exactly_the_fields_of_its_form(content: Mapping[str, object]) -> None:
    assert not is_answer(content, _form(required=["name"]).schema)
