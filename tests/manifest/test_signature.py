"""The schema of a function is what its signature says, or a complaint with file and line; nothing is imported."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from mcp_guard.manifest.signature import Signature, Unreadable, read
from mcp_guard.model.tool import ProcessLimits, PythonSpec, WorkerSpec
from tests.manifest.conftest import Compile, Lint
from tests.manifest.texts import manifest

HEAD = "from dataclasses import dataclass\nfrom typing import *\nimport typing\n"


def schema_of(annotation: str, before: str = "") -> object:
    return signature(f"{before}\ndef f(x: {annotation}): ...").schema["properties"]["x"]  # type: ignore[index]


def signature(source: str) -> Signature:
    return read(HEAD + dedent(source), "f")


@pytest.mark.holds("python:signature")
@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        ("str", {"type": "string"}),
        ("int", {"type": "integer"}),
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("None", {"type": "null"}),
        ("Any", {}),
        ("typing.Any", {}),
        ("object", {}),
        ("list", {"type": "array"}),
        ("list[int]", {"type": "array", "items": {"type": "integer"}}),
        ("list[list[str]]", {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}),
        ("dict", {"type": "object", "additionalProperties": True}),
        ("dict[str, float]", {"type": "object", "additionalProperties": {"type": "number"}}),
        ("dict[str, Any]", {"type": "object", "additionalProperties": True}),
        ("str | None", {"type": ["string", "null"]}),
        ("'str | int'", {"type": ["string", "integer"]}),
        ("str | int | None", {"type": ["string", "integer", "null"]}),
        ("Optional[int]", {"type": ["integer", "null"]}),
        ("Union[int, list[int]]", {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
        ("Literal['a', 'b', 3, None]", {"enum": ["a", "b", 3, None]}),
        ("Annotated[str, 'Who it is for.']", {"type": "string", "description": "Who it is for."}),
    ],
)
def test_an_annotation_is_a_schema(annotation: str, schema: object) -> None:
    assert schema_of(annotation) == schema


def test_aliases_and_classes_of_the_file_are_followed() -> None:
    assert schema_of("Size", "Size = Literal['s', 'm']") == {"enum": ["s", "m"]}
    typed = "class T(TypedDict, total=False):\n    'Words.'\n    a: Required[int]\n    b: str\n"
    assert schema_of("list[T]", typed) == {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
            "required": ["a"],
        },
    }
    built = "@dataclass(frozen=True)\nclass D:\n    a: int\n    b: str = 'x'\n    def m(self): ...\n"
    assert schema_of("D | None", built) == {
        "anyOf": [
            {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
                "required": ["a"],
            },
            {"type": "null"},
        ]
    }
    assert signature(f"{built}\ndef f(x: list[D], y: int, z: D): ...").built == ("x", "z")


def test_defaults_make_optional_and_are_shown() -> None:
    found = signature("async def f(a: str, b: int = 3, *, c: str | None = None, d: list[int] = []): ...").schema
    assert found["required"] == ["a"]
    assert found["properties"] == {
        "a": {"type": "string"},
        "b": {"type": "integer", "default": 3},
        "c": {"type": ["string", "null"]},
        "d": {"type": "array", "items": {"type": "integer"}},
    }


@pytest.mark.holds("python:signature")
@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def f(a): ...", 4),
        ("def f(*a: int): ...", 4),
        ("def f(**a: int): ...", 4),
        ("def f(a: int, /): ...", 4),
        ("def f(a: datetime): ...", 4),
        ("def f(a: dict[int, str]): ...", 4),
        ("def f(a: tuple[int, str]): ...", 4),
        ("def f(a: Literal[1.5]): ...", 4),
        ("def f(a: Annotated[int, Field(gt=1)]): ...", 4),
        ("def f(a: 'not python'): ...", 4),
        ("def f(a: [int]): ...", 4),
        ("def f(\n    a: int,\n    b: bytes,\n): ...", 6),
        ("@cache\ndef f(a: int): ...", 4),
        ("class C:\n    a: int\ndef f(a: C): ...", 4),
        ("class C(TypedDict):\n    a: set\ndef f(a: C): ...", 5),
        ("class C(TypedDict):\n    a: 'C'\ndef f(a: C): ...", 5),
        ("A = 'A'\ndef f(a: A): ...", 4),
        ("def g(): ...", 1),
        ("f = print", 1),
        ("def f(a: int): ...\ndef f(b: int): ...", 1),
        ("def f(a: int: ...", 4),
        ("def f(a: Literal['\u202e']): ...", 4),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_line(source: str, line: int) -> None:
    with pytest.raises(Unreadable) as unreadable:
        read(HEAD + source, "f")
    assert unreadable.value.line == line
    assert unreadable.value.hint


def text(python: str, more: str = "") -> str:
    return manifest(f"name: note_add\ndescription: Add.\n{more}\npython: {{{python}}}")


@pytest.mark.holds("python:signature")
def test_a_manifest_may_leave_the_schema_to_the_function(compile_tool: Compile, home: Path) -> None:
    (home / "notes").mkdir()
    source = "raise RuntimeError('imported')\ndef add(text: str, by: str, n: int = 1): ...\n"
    (home / "notes" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (home / "notes" / "tools.py").write_text(source)
    compiled = compile_tool(text('function: "notes.tools:add"', "bind: {by: principal.subject}"))
    assert compiled.input_schema == {
        "type": "object",
        "properties": {"text": {"type": "string"}, "n": {"type": "integer", "default": 1}},
        "required": ["text"],
        "additionalProperties": False,
    }
    assert compiled.connector == PythonSpec("python", "notes.tools:add")
    assert "notes" not in sys.modules
    (home / "notes" / "tools.py").write_text(source.replace("int", "str"))
    assert compile_tool(text('function: "notes.tools:add"')).fingerprint != compiled.fingerprint


def test_a_complaint_names_the_file_of_the_function(lint_texts: Lint, home: Path) -> None:
    (home / "notes.py").write_text("\n\ndef add(text: bytes): ...\n")
    catalog, problems = lint_texts(text('function: "notes:add"'))
    assert catalog is None
    assert [(found.code, found.file, found.line, found.column) for found in problems] == [
        ("signature", "notes.py", 3, 15)
    ]


def test_a_function_that_is_not_there_is_no_matter_of_annotations(lint_texts: Lint, home: Path) -> None:
    (home / "notes.py").write_text("def add(text: str): ...\n")
    _, (problem,) = lint_texts(text('function: "notes:ad"'))
    assert (problem.file, problem.hint) == ("notes.py", "correct the name")


@pytest.mark.parametrize("function", ["nowhere:add", "notes.nowhere:add", "math:floor", "sys:exit"])
def test_a_function_without_source_needs_a_schema(lint_texts: Lint, home: Path, function: str) -> None:
    (home / "notes.py").write_text("def add(text: str): ...\n")
    catalog, problems = lint_texts(text(f'function: "{function}"'))
    assert catalog is None
    assert [(found.code, found.file) for found in problems] == [("signature", "tool_manifests/a.yaml")]


def test_other_kinds_need_a_schema(lint_texts: Lint) -> None:
    catalog, problems = lint_texts(manifest("name: a\ndescription: A.\nhttp: {url: 'https://a.example/'}"))
    assert catalog is None
    assert [found.code for found in problems] == ["missing_key"]


# --- workers


def test_a_worker_is_declared(compile_tool: Compile, home: Path) -> None:
    (home / "notes.py").write_text("def add(text: str): ...\n")
    (home / "work").mkdir()
    more = "worker: true, env: {LANG: C, KEY: '${secret:key}'}, cwd: work, limits: {memory: 1GiB}"
    compiled = compile_tool(text(f'function: "notes:add", {more}', "timeout: 9s"))
    assert compiled.connector == PythonSpec(
        "python",
        "notes:add",
        worker=WorkerSpec(
            str(home.resolve() / "work"),
            (("KEY", "${secret:key}"), ("LANG", "C")),
            ProcessLimits(cpu=9, memory=1024**3),
        ),
    )
    assert compiled.fingerprint != compile_tool(text('function: "notes:add"', "timeout: 9s")).fingerprint


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("env: {A: x}", "worker"),
        ("cwd: work", "worker"),
        ("limits: {cpu: 1s}", "worker"),
        ("worker: true, env: {A: 'a ${secret:k}'}", "reference"),
        ("worker: true, limits: {cpu: 0s}", "value"),
        ("worker: true, cwd: nowhere", "path"),
        ("worker: true, cwd: '.'", "reaches_home"),
        ("worker: true, cwd: /", "reaches_home"),
        ("worker: true, cwd: policy", "reaches_home"),
        ("mode: worker", "unknown_key"),
    ],
)
@pytest.mark.holds("manifest:cannot-reach-home")
def test_what_a_worker_cannot_have_is_refused(lint_texts: Lint, home: Path, more: str, code: str) -> None:
    (home / "notes.py").write_text("def add(text: str): ...\n")
    (home / "work").mkdir()
    catalog, problems = lint_texts(text(f'function: "notes:add", {more}'))
    assert catalog is None
    assert [found.code for found in problems] == [code]
