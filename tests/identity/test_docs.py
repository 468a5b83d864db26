"""docs/identity.md is run: its settings load, its tools compile, its rules are rules, its commands work."""

import re
import shlex
from pathlib import Path

import pytest

from mcp_guard.config.load import load
from mcp_guard.manifest.home import HomeFiles
from mcp_guard.manifest.load import load as load_tools
from tests.simulators.process import Program

TEXT = (Path(__file__).parents[2] / "docs" / "identity.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
YAML = [text for kind, text in BLOCKS if kind == "yaml"]
HEAD = "apiVersion: mcp-guard/v1\nname: desk\n"


@pytest.mark.holds("identity:documented")
@pytest.mark.parametrize("text", [text for text in YAML if text.startswith("identity:")])
def test_settings_load(text: str, tmp_path: Path) -> None:
    (tmp_path / "mcp-guard.yaml").write_text(HEAD + text, encoding="utf-8")
    load(tmp_path, environ={})


@pytest.mark.holds("identity:documented")
def test_every_setting_is_documented(tmp_path: Path) -> None:
    (tmp_path / "mcp-guard.yaml").write_text(HEAD, encoding="utf-8")
    oidc = load(tmp_path, environ={}).settings.identity.oidc
    assert [name for name in type(oidc).model_fields if f"{name}:" not in "".join(YAML)] == []


def test_tools_compile(tmp_path: Path) -> None:
    texts = [text for text in YAML if "kind: Tools" in text]
    assert texts
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_text(text, encoding="utf-8")
    assert "ledger_note" in load_tools(tmp_path, ["*.yaml"], reserved=HomeFiles())


@pytest.mark.holds("identity:documented")
def test_commands_and_rules_work_in_the_example_home(desk: Program) -> None:
    rules = [line for kind, text in BLOCKS if not kind for line in text.splitlines() if line.startswith("p, ")]
    with (desk.home / "policy" / "policy.csv").open("a", encoding="utf-8") as policy:
        policy.write("\n".join(["", *rules, ""]))
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    assert len(rules) == 2
    assert lines
    for line in ["mcp-guard policy test", *lines]:
        program, *arguments = shlex.split(line)
        done = desk.run(*arguments)
        assert (program, done.status) == ("mcp-guard", 0), done.err
