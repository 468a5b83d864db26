"""`docs/policy.md` says what is so: its rows load, its questions have its answers, its errors are errors."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mcp_guard.config.settings import Settings
from mcp_guard.policy.cases import run_cases
from mcp_guard.policy.snapshot import Snapshot
from tests.policy.conftest import Files, principal

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\S+(?: \S+)?)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TOOLS: dict[str, list[str]] = YAML(typ="safe").load(next(text for kind, text in BLOCKS if kind == "yaml tools"))
REFUSED: list[tuple[str, str]] = re.findall(r"^\| `([pg].*)` \| `(\w+)` \|$", PAGE, re.MULTILINE)


@pytest.mark.holds("policy:documented")
def test_every_question_has_its_answer(files: Files, tmp_path: Path) -> None:
    snapshot: Snapshot | None = None
    questions = 0
    for number, (kind, text) in enumerate(BLOCKS):
        if kind == "csv":
            snapshot = files.load(*text.splitlines(), tools=TOOLS)
        elif kind == "yaml":
            assert snapshot is not None
            path = tmp_path / f"{number}.yaml"
            path.write_text(text, encoding="utf-8")
            results = run_cases([path], snapshot, principal, environment={"name": "demo"})
            assert [str(result) for result in results if not result.passed] == []
            questions += len(results)
    assert questions > 15


def test_rows_shown_by_themselves_load(files: Files) -> None:
    shown = [text for kind, text in BLOCKS if kind == "csv rows"]
    assert shown
    for text in shown:
        files.load(*text.splitlines(), tools=TOOLS)


def test_settings_shown_are_settings() -> None:
    shown = [YAML(typ="safe").load(text) for kind, text in BLOCKS if kind == "yaml settings"]
    assert shown
    for settings in shown:
        Settings.model_validate({"apiVersion": "mcp-guard/v1", "name": "docs", **settings})


@pytest.mark.parametrize(("text", "code"), REFUSED)
def test_every_refused_row_is_refused(files: Files, text: str, code: str) -> None:
    good = "p, good, *, *, *, call, *, True, allow, -, good\n"
    assert [problem.code for problem in files.refuse(f"{text}\n{good}")] == [code]


def test_there_are_refused_rows() -> None:
    assert len(REFUSED) > 10


@pytest.mark.parametrize(
    "word",
    [
        "within",
        "all_domains",
        "matches",
        "hours",
        "approvers",
        "not=requester",
        "quorum",
        "expires",
        "rows",
        "r.ctx.seen",
    ],
)
def test_every_function_and_obligation_is_named(word: str) -> None:
    assert word in PAGE
