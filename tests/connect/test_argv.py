"""Every argument stays inside its element, whatever it holds."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from mcp_guard.connect.argv import Elements
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import CommandSpec, ProcessLimits
from tests.simulators.naughty import NAUGHTY


def command(
    *argv: str,
    within: Mapping[str, str] | None = None,
    allow_dash: tuple[str, ...] = (),
) -> CommandSpec:
    return CommandSpec(
        kind="command",
        program="/bin/prog",
        argv=("prog", *argv),
        cwd=None,
        env=(),
        within=tuple((within or {}).items()),
        allow_dash=allow_dash,
        ok_exits=None,
        max_bytes=1024,
        limits=ProcessLimits(cpu=1),
    )


def render(spec: CommandSpec, **arguments: object) -> tuple[str, ...]:
    elements = Elements.of(spec, lambda path: path == "/forbidden" or path.startswith("/forbidden/"))
    return elements.render(arguments, "/somewhere")


def refusal(spec: CommandSpec, **arguments: object) -> str:
    with pytest.raises(Refused) as refused:
        render(spec, **arguments)
    assert refused.value.code == "args_invalid"
    assert refused.value.executed == "no"
    return refused.value.reason


@pytest.mark.holds("command:argv-only")
def test_every_naughty_string_is_one_element() -> None:
    for naughty in NAUGHTY:
        if "\0" not in naughty:
            assert render(command("--", "{x}", "end"), x=naughty) == ("--", naughty, "end")
            assert render(command("--x={x}"), x=naughty) == (f"--x={naughty}",)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (5, "5"),
        (5.0, "5"),
        (-0.0, "0"),
        (2.5, "2.5"),
        (1e-7, "0.0000001"),
        (1e21, "1" + "0" * 21),
        (True, "true"),
        (False, "false"),
        ("", ""),
    ],
)
def test_single_values_are_written_without_surprises(value: object, text: str) -> None:
    assert render(command("--", "{x}"), x=value) == ("--", text)
    assert render(command("v{x}"), x=value) == (f"v{text}",)


def test_what_is_absent_is_left_out_with_its_element() -> None:
    spec = command("a", "{x}", "--y={y}", "{z}", "b")
    assert render(spec) == ("a", "b")
    assert render(spec, x=None, y="1") == ("a", "--y=1", "b")


def test_a_list_becomes_one_element_each() -> None:
    assert render(command("--", "{x}"), x=["a b", 1, True]) == ("--", "a b", "1", "true")
    assert render(command("{x}"), x=[]) == ()
    assert "null" in refusal(command("{x}"), x=["a", None])
    refusal(command("{x}"), x=[["a"]])
    refusal(command("--x={x}"), x=["a"])
    refusal(command("{x}"), x={"a": 1})


@pytest.mark.holds("command:no-option-injection")
@pytest.mark.parametrize("value", ["-", "-rf", "--output=/etc/passwd", "--", -5, ["a", "-x"]])
def test_an_argument_is_never_an_option(value: object) -> None:
    assert "option" in refusal(command("{x}"), x=value)
    assert "option" in refusal(command("-n", "{x}"), x=value)
    assert render(command("--", "{x}"), x="-rf") == ("--", "-rf")
    assert render(command("-n", "{x}", allow_dash=("x",)), x=-5) == ("-n", "-5")
    assert render(command("--n={x}"), x=-5) == ("--n=-5",)


@pytest.mark.holds("command:no-option-injection")
def test_an_argument_cannot_end_the_options_or_hide_one_behind_an_empty_one() -> None:
    refusal(command("{x}", "{y}"), x="--", y="-rf")
    assert "/x" in refusal(command("{x}{y}"), x="", y="-rf")
    refusal(command("{x}{y}", allow_dash=("x",)), x="", y="-rf")


@pytest.mark.holds("command:paths")
@pytest.mark.parametrize("value", ["", ".", "..", "../b", "a/b", "/etc", "..\\b"])
@pytest.mark.parametrize("element", ["/srv/{x}", "/srv/{x}/log", "{x}/log"])
def test_an_argument_beside_a_slash_is_one_segment(value: str, element: str) -> None:
    assert "path" in refusal(command(element), x=value)


@pytest.mark.holds("command:paths")
def test_an_argument_of_within_stays_below_its_directory(tmp_path: Path) -> None:
    root = tmp_path / "repos"
    (root / "one").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    (tmp_path / "repos-of-others").mkdir()
    spec = command("-C", "{x}", within={"x": str(root)})
    assert render(spec, x="one") == ("-C", str(root / "one"))
    assert render(spec, x="one/../two/-x") == ("-C", str(root / "two/-x"))
    assert render(spec, x=".") == ("-C", str(root))
    for outside in ("..", "../repos-of-others", "/etc/passwd", "out", "out/repos-of-others", "one/../../x"):
        assert "directory" in refusal(spec, x=outside)


@pytest.mark.holds("command:paths")
@pytest.mark.parametrize("value", ["/forbidden", "/forbidden/x", "--out=/forbidden/x", "a=/forbidden"])
def test_an_argument_leads_to_nothing_forbidden(value: str) -> None:
    assert "no tool may touch" in refusal(command("--", "{x}"), x=value)
    assert "no tool may touch" in refusal(command("--out={x}"), x="/forbidden")


def test_no_argument_holds_nul() -> None:
    assert "NUL" in refusal(command("--", "{x}"), x="a\0b")


def test_no_refusal_names_a_value() -> None:
    for value in ("-s3cret", "/forbidden/s3cret", "s3cret\0"):
        assert "s3cret" not in refusal(command("{x}"), x=value)
