"""JUnit XML that every reader can parse, whatever a test is called, and that holds no argument."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from mcp_guard.cli import junit
from mcp_guard.model.decision import Decision, Effect
from mcp_guard.policy.case_file import DEFAULT_NOW, Case
from mcp_guard.policy.cases import CaseResult
from tests.policy.conftest import request

DENIED = Decision(Effect.DENY, "guard:default", "no rule allows this", "p")


def result(name: str, *differences: str, file: str = "policy/tests/a.yaml") -> CaseResult:
    arguments = {"note": "canary"}
    who, want = ("user:a", "agent:x", "acme"), {"effect": "deny"}
    case = Case(name, file, 7, *who, "call", "orders_get", arguments, frozenset(), DEFAULT_NOW, want)
    return CaseResult(case, request("orders_get", arguments), DENIED, differences)


def written(tmp_path: Path, *results: CaseResult) -> ElementTree.Element:
    path = tmp_path / "junit.xml"
    junit.write(path, results)
    assert "canary" not in path.read_text(encoding="utf-8")
    return ElementTree.fromstring(path.read_bytes())


@pytest.mark.holds("policy:junit")
def test_suites_cases_and_failures(tmp_path: Path) -> None:
    results = (
        result("good"),
        result("bad", "effect is deny, wanted allow", "rule is x"),
        result("other", file="b.yaml"),
    )
    root = written(tmp_path, *results)
    assert (root.tag, root.attrib["tests"], root.attrib["failures"]) == ("testsuites", "3", "1")
    first, second = root
    assert [suite.attrib["name"] for suite in (first, second)] == ["policy/tests/a.yaml", "b.yaml"]
    assert [case.attrib["name"] for case in first] == ["good", "bad"]
    (failure,) = root.iter("failure")
    assert failure.attrib["message"] == failure.text == "effect is deny, wanted allow; rule is x"
    assert first[1].attrib == {
        "name": "bad",
        "classname": "policy/tests/a.yaml",
        "file": "policy/tests/a.yaml",
        "line": "7",
    }


@pytest.mark.holds("policy:junit")
@pytest.mark.parametrize(
    "name",
    ["<\"&'>]]>", "a\x00b\x1b[2J", "line\nbreak\tand tab", "\ufffe\uffff", "right\u202eleft", "naïve 😀", " "],
    ids=ascii,
)
def test_any_name_is_well_formed(name: str, tmp_path: Path) -> None:
    root = written(tmp_path, result(name, f"rule is {name}"))
    (case,) = root.iter("testcase")
    shown = case.attrib["name"]
    assert shown
    assert not set(shown) & set("\x00\x1b\n\t\ufffe\uffff\u202e")
    if name in ("<\"&'>]]>", "naïve 😀"):
        assert shown == name


def test_nothing_was_run(tmp_path: Path) -> None:
    assert written(tmp_path).attrib["tests"] == "0"
