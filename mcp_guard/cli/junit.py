"""Results of policy tests as JUnit XML, which is what build servers read. It holds names and differences only."""

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from mcp_guard.kit.text import visible

if TYPE_CHECKING:
    from mcp_guard.policy.cases import CaseResult

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What is not a character of XML 1.0 (section 2.2) in any form."""


def write(path: Path, results: "Sequence[CaseResult]") -> None:
    """One suite for each file of tests. Raises `OSError`."""
    root = _counted("testsuites", "mcp-guard policy", results)
    for file, group in groupby(results, lambda result: result.case.file):
        of_file = list(group)
        suite = _counted("testsuite", file, of_file)
        suite.extend(map(_case, of_file))
        root.append(suite)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _counted(tag: str, name: str, results: "Sequence[CaseResult]") -> ElementTree.Element:
    failures = sum(not result.passed for result in results)
    counts = {"tests": str(len(results)), "failures": str(failures), "errors": "0", "skipped": "0"}
    return ElementTree.Element(tag, {"name": _text(name), **counts})


def _case(result: "CaseResult") -> ElementTree.Element:
    case = result.case
    file = _text(case.file)
    element = ElementTree.Element(
        "testcase", {"name": _text(case.name), "classname": file, "file": file, "line": str(case.line)}
    )
    if not result.passed:
        differences = _text("; ".join(result.differences))
        ElementTree.SubElement(element, "failure", {"message": differences}).text = differences
    return element


def _text(text: str) -> str:
    return _NO_XML.sub("\ufffd", visible(text))
