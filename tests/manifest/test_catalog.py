"""Arguments are taken as they are or refused: nothing is coerced, dropped or filled in, and no value is quoted."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.manifest.catalog import Entry
from mcp_guard.manifest.violation import MAX_VIOLATIONS
from mcp_guard.model.tool import PythonSpec, Retry, Tool
from tests.manifest.conftest import Lint
from tests.manifest.texts import manifest, tool

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string", "pattern": "^ORD-[0-9]{4,10}$"},
        "count": {"type": "integer", "minimum": 0, "maximum": 1000},
        "amount": {"type": "number", "exclusiveMinimum": 0},
        "urgent": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 10}, "maxItems": 5},
        "address": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
    "required": ["order_id", "count", "urgent", "tags", "address"],
    "additionalProperties": False,
}

VALID: dict[str, Any] = {
    "order_id": "ORD-1234",
    "count": 3,
    "amount": 1.5,
    "urgent": True,
    "tags": ["a", "b"],
    "address": {"city": "Ulm"},
}


def entry_of(schema: dict[str, Any], output: dict[str, Any] | None = None, **more: Any) -> Entry:
    return Entry(
        Tool(
            name="t",
            title=None,
            description="T.",
            annotations={},
            tags=(),
            effects="once",
            scopes=frozenset(),
            input_schema=schema,
            arguments_schema=schema,
            output_schema=output,
            bind=more.get("bind", {}),
            sensitive=(),
            timeout=1.0,
            retry=Retry(),
            idempotency_header=None,
            justification=more.get("justification", "none"),
            connector=PythonSpec("python", "a:b"),
            fingerprint="0" * 64,
        )
    )


ENTRY = entry_of(SCHEMA)

valid = st.fixed_dictionaries(
    {
        "order_id": st.from_regex(r"ORD-[0-9]{4,10}", fullmatch=True).filter(str.isascii),
        "count": st.integers(0, 1000),
        "urgent": st.booleans(),
        "tags": st.lists(st.text(max_size=10).filter(lambda text: text.isprintable()), max_size=5),
        "address": st.fixed_dictionaries({"city": st.just("Ulm")}),
    },
    optional={"amount": st.floats(min_value=0.01, max_value=1e9)},
)


@pytest.mark.holds("args:strict")
@settings(max_examples=60, deadline=None)
@given(valid)
def test_valid_arguments_pass_unchanged(arguments: dict[str, Any]) -> None:
    before = repr(arguments)
    assert ENTRY.check_arguments(arguments) == []
    assert repr(arguments) == before


_COERCIBLE: dict[str, list[Any]] = {
    "order_id": [1234, None, ["ORD-1234"], True],
    "count": ["3", " 3", "3.0", 3.5, True, False, None, [3], {"count": 3}, "0x3"],
    "amount": ["1.5", "1e3", True, None, "Infinity", [1.5]],
    "urgent": [1, 0, "true", "yes", "", None, []],
    "tags": ['["a"]', "a,b", "", {"0": "a"}, None, [1], [["a"]]],
    "address": ['{"city": "Ulm"}', "Ulm", [], None, {"city": 3}, {"city": "Ulm", "x": 1}, {}],
}


@pytest.mark.holds("args:strict")
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in _COERCIBLE.items() for value in values])
def test_nothing_is_coerced(name: str, value: object) -> None:
    found = ENTRY.check_arguments({**VALID, name: value})
    assert found
    assert all(violation.pointer == f"/{name}" or violation.pointer.startswith(f"/{name}/") for violation in found)


@pytest.mark.holds("args:strict")
@settings(max_examples=60, deadline=None)
@given(valid, st.data())
def test_a_missing_and_an_unknown_argument_are_refused(arguments: dict[str, Any], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(SCHEMA["required"]))
    without = {key: value for key, value in arguments.items() if key != gone}
    assert [str(found) for found in ENTRY.check_arguments(without)] == [f"/{gone}: is required"]
    extra = data.draw(st.text(max_size=20).filter(lambda name: name not in SCHEMA["properties"]))
    (found,) = ENTRY.check_arguments({**arguments, extra: 1})
    assert found.message.startswith("is not a known field")


@pytest.mark.holds("args:no-values")
@pytest.mark.parametrize(
    "arguments",
    [
        {"order_id": "hunter2"},
        {"count": "hunter2", "tags": ["hunter2hunter2"]},
        {"address": {"city": ["hunter2"]}, "urgent": "hunter2"},
        ["hunter2"],
        "hunter2",
    ],
)
def test_a_value_is_never_quoted(arguments: Any) -> None:
    found = ENTRY.check_arguments(arguments)
    assert found
    assert "hunter2" not in "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"count": "3"}, ["/count: expected integer, not string"]),
        ({"count": -1}, ["/count: must be at least 0"]),
        ({"count": 1001}, ["/count: must be at most 1000"]),
        ({"amount": 0}, ["/amount: must be greater than 0"]),
        ({"order_id": "x"}, ["/order_id: must match the pattern ^ORD-[0-9]{4,10}$"]),
        ({"tags": ["a"] * 6}, ["/tags: must have at most 5 items"]),
        ({"tags": ["a" * 11]}, ["/tags/0: must have at most 10 characters"]),
        ({"adress": 1}, ["/adress: is not a known field; did you mean address?"]),
        ({"address": {"city": "Ulm", "a/b": 1}}, ["/address/a~1b: is not a known field"]),
        ({"address": {}}, ["/address/city: is required"]),
        ({"x\u202e\n": 1}, ["/x<U+202E>\\n: is not a known field"]),
    ],
)
def test_a_violation_says_where_and_what(change: dict[str, Any], expected: list[str]) -> None:
    assert [str(found) for found in ENTRY.check_arguments({**VALID, **change})] == expected


@pytest.mark.holds("args:strict")
def test_violations_are_bounded() -> None:
    many = {f"unknown_{number}": number for number in range(1000)}
    assert len(ENTRY.check_arguments({**VALID, **many})) == MAX_VIOLATIONS
    long = ENTRY.check_arguments({**VALID, "a" * 100_000: 1})
    assert sum(len(str(found)) for found in long) < 500
    assert (
        len(
            entry_of({"type": "object", "properties": {"n": {"items": {"type": "integer"}}}}).check_arguments(
                {"n": ["x"] * 50_000}
            )
        )
        == 1
    )


@pytest.mark.parametrize("value", [2**70, float("nan"), "\ud800", object(), {1: 2}, {"a": b"x"}])
def test_what_is_no_json_is_refused_not_raised(value: Any) -> None:
    assert ENTRY.check_arguments({**VALID, "count": value})
    assert ENTRY.check_arguments({**VALID, "address": value})


@pytest.mark.holds("args:bound")
@pytest.mark.parametrize("schema", [SCHEMA, {**SCHEMA, "additionalProperties": True}])
def test_a_bound_argument_cannot_be_sent(schema: dict[str, Any]) -> None:
    entry = entry_of(schema, bind={"by": "principal.subject"})
    assert entry.check_arguments(VALID) == []
    assert [str(found) for found in entry.check_arguments({**VALID, "by": "user:mallory"})] == [
        "/by: is not a known field"
    ]


def test_results_are_checked_where_a_schema_is_declared() -> None:
    entry = entry_of(SCHEMA, {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]})
    assert entry.check_result({"ok": True}) == []
    assert [str(found) for found in entry.check_result({"ok": 1})] == ["/ok: expected boolean, not integer"]
    assert [str(found) for found in entry.check_result(object())] == ["/: is not a JSON value"]
    assert ENTRY.check_result({"anything": object()}) == []


def test_a_format_is_asserted(lint_texts: Lint) -> None:
    catalog, _ = lint_texts(manifest(tool(properties="{text: {type: string, format: email}}")))
    assert catalog is not None
    assert catalog["note_add"].check_arguments({"text": "a@b.example"}) == []
    assert [str(found) for found in catalog["note_add"].check_arguments({"text": "a"})] == [
        "/text: expected the format email"
    ]


@pytest.mark.holds("args:justification")
@pytest.mark.parametrize("mode", ["none", "optional", "required"])
def test_a_justification_is_advertised_checked_and_taken_off(lint_texts: Lint, mode: str) -> None:
    catalog, _ = lint_texts(manifest(tool(more=f"justification: {mode}")))
    assert catalog is not None
    entry = catalog["note_add"]
    with_one, without = {"text": "a", "justification": "because"}, {"text": "a"}
    assert (entry.check_arguments(with_one) == []) == (mode != "none")
    assert (entry.check_arguments(without) == []) == (mode != "required")
    assert entry.check_arguments({"text": "a", "justification": "x" * 1001})
    assert entry.check_arguments({"text": "a", "justification": 3})
    if mode != "none":
        assert entry.split(with_one) == ({"text": "a"}, "because")
    assert entry.split(without) == ({"text": "a"}, None)
    assert "justification" not in str(entry.tool.arguments_schema)


def test_a_catalog_is_a_mapping_that_cannot_be_changed(lint_texts: Lint) -> None:
    catalog, _ = lint_texts(manifest(tool()))
    assert catalog is not None
    assert "note_add" in catalog
    assert "nothing" not in catalog
    assert catalog.get("nothing") is None
    with pytest.raises(TypeError):
        catalog["other"] = catalog["note_add"]  # type: ignore[index]
