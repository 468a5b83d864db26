"""The model is fixed: another one would be another semantics."""

from pathlib import Path

import pytest

from mcp_guard.model.errors import Invalid
from mcp_guard.policy.load import load
from mcp_guard.policy.model_file import COLUMNS, MODEL, check
from tests.policy.conftest import TOOLS, Files, row


def test_the_model_is_the_one_stock_casbin_reads() -> None:
    import casbin

    model = casbin.Model()
    model.load_model_from_text(MODEL)
    assert [token.removeprefix("p_") for token in model["p"]["p"].tokens] == list(COLUMNS)


@pytest.mark.parametrize(
    "text",
    [
        MODEL,
        "# mine\n; too\n\n" + MODEL,
        MODEL.replace("\n", "\n\n"),
        MODEL.replace("r = who, via", "r   =   who,via"),
        MODEL.replace("[matchers]", "  [matchers]  "),
    ],
)
def test_white_space_and_comments_are_free(text: str) -> None:
    assert check(text, "model.conf") == []


@pytest.mark.holds("policy:refused-at-load")
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        (MODEL.replace(" && !some(where (p.eft == deny))", ""), 9),
        (MODEL.replace('p.tenant == "*" || ', ""), 11),
        (MODEL.replace("g = _, _, _", "g = _, _"), 6),
        (MODEL.replace("r = who", "r = w ho"), 2),
        (MODEL.replace("[matchers]", "[matcher]"), 11),
        (MODEL + "m2 = True\n", 12),
        (MODEL + "m = True\n", 12),
        (MODEL + "nonsense\n", 12),
        (MODEL.replace("eval(p.when)", "eval(p.when) # or not"), 11),
        (MODEL.replace("keyMatch", "regexMatch"), 11),
        (MODEL[:200], None),
    ],
)
def test_anything_else_is_unsupported(files: Files, text: str, line: int | None) -> None:
    files.rules.write_text(row() + "\n", encoding="utf-8")
    files.model.write_text(text, encoding="utf-8")
    with pytest.raises(Invalid) as caught:
        load(files.model, files.rules, TOOLS, shown_as=lambda path: path.name)
    first = caught.value.problems[0]
    assert {problem.code for problem in caught.value.problems} == {"model_unsupported"}
    assert first.file == "model.conf"
    assert first.hint
    assert line is None or first.line == line


def test_a_missing_file_is_named(files: Files, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        load(tmp_path / "gone.conf", tmp_path / "gone.csv", TOOLS, shown_as=lambda path: path.name)
    assert [(problem.code, problem.file) for problem in caught.value.problems] == [
        ("unreadable", "gone.conf"),
        ("unreadable", "gone.csv"),
    ]
