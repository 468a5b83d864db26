"""`mcp-guard completion`: a script a shell can source, and what it asks for."""

import pytest

from tests.cli.conftest import Guard
from tests.simulators.process import Program


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(shell: str, run_here: Guard) -> None:
    ran = run_here("--json", "completion", shell)
    assert ran.status == 0
    assert ran.json["shell"] == shell
    assert "_MCP_GUARD_COMPLETE" in ran.json["script"]
    assert run_here("completion", shell).out.rstrip() == ran.json["script"].rstrip()


def test_another_shell(run_here: Guard) -> None:
    assert run_here("completion", "csh").status == 2


def test_what_the_script_asks_for_is_answered(desk: Program) -> None:
    asked = {"_MCP_GUARD_COMPLETE": "bash_complete", "COMP_WORDS": "mcp-guard audit v", "COMP_CWORD": "2"}
    done = Program(desk.home).run(environ=asked)
    assert "plain,verify" in done.out
