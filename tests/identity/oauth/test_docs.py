"""docs/connections.md is run: its settings load, its tools compile, its commands work, and it names every key."""

import re
import shlex
from pathlib import Path

import pytest

from mcp_guard.config.load import load
from mcp_guard.manifest.document import OAuthRule
from mcp_guard.manifest.home import HomeFiles
from mcp_guard.manifest.load import load as load_tools
from tests.simulators.process import Program

TEXT = (Path(__file__).parents[3] / "docs" / "connections.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
YAML = [text for kind, text in BLOCKS if kind == "yaml"]
SETTINGS = [text for text in YAML if text.startswith("connections:")]
HEAD = "apiVersion: mcp-guard/v1\nname: desk\n"


@pytest.mark.holds("oauth:documented")
def test_settings_load_and_every_one_is_shown(tmp_path: Path) -> None:
    (tmp_path / "mcp-guard.yaml").write_text(HEAD + "".join(SETTINGS), encoding="utf-8")
    connections = load(tmp_path, environ={}).settings.connections
    assert connections.url == "https://guard.example"
    assert [name for name in type(connections).model_fields if f"{name}:" not in SETTINGS[0]] == []


@pytest.mark.holds("oauth:documented")
def test_tools_compile_and_every_key_is_shown(tmp_path: Path) -> None:
    for number, text in enumerate(text for text in YAML if "kind: Tools" in text):
        (tmp_path / f"{number}.yaml").write_text(text, encoding="utf-8")
    oauth = load_tools(tmp_path, ["*.yaml"], reserved=HomeFiles())["ledger_note"].tool.oauth
    assert oauth is not None
    assert (oauth.upstream, oauth.resource) == ("ledger", "https://ledger.example")
    assert [name for name in OAuthRule.model_fields if f"{name}:" not in "".join(YAML)] == []


@pytest.mark.holds("oauth:documented")
def test_commands_are_commands(desk: Program) -> None:
    lines = [line for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]
    said = {}
    desk.token("user:alice")  # something is recorded
    for line in lines:
        prompt, program, *arguments = shlex.split(line)
        assert (prompt, program) == ("$", "mcp-guard")
        said[arguments[1]] = desk.run(*arguments)
    assert said["list"].status == 0
    for wrong in ("connect", "lock", "revoke"):  # the example home has no such account
        assert said[wrong].status == 2, said[wrong].err
