"""What `docs/audit.md` says about witnesses, done: its commands as they stand there, with a real key for VKEY."""

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Guard
from tests.cli.test_anchors import log_key, name_anchors
from tests.simulators.process import Program
from tests.simulators.witness import witnessing

DOCUMENT = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
SECTION = DOCUMENT.partition("### A witness on another machine")[2].partition("\n## ")[0]


def commands() -> list[list[str]]:
    """The `mcp-guard` commands of the section, in its order, in blocks and in the text."""
    found = re.findall(r"^ *(mcp-guard audit [^\n`]+)$|`(mcp-guard audit [^`]+)`", SECTION, re.MULTILINE)
    return [shlex.split(block or inline)[1:] for block, inline in found]


@pytest.mark.holds("anchors:acknowledged")
def test_the_steps_lead_where_they_say(desk: Program, guard: Guard, run_here: Guard, tmp_path: Path) -> None:
    status, witness, checkpoint, again, verify = commands()
    assert status == again == ["audit", "status"]
    assert guard("call", "orders_get", "order_id=ORD-1001").status == 0
    key = log_key(guard)
    options = dict(zip(witness[2::2], witness[3::2], strict=True))
    assert options == {"--listen": "0.0.0.0:8780", "--dir": "/var/lib/witness", "--log": "VKEY"}  # as `witnessing` does
    with witnessing(tmp_path / "witness", key) as running:
        assert f"key: {key}" in guard(*status).out
        name_anchors(desk.home, f"witness: '{running.url}', key: '{running.key}'")
        assert guard(*checkpoint).status == 0
        assert ": anchored, " in guard(*again).out
        assert guard("audit", "export", "-o", str(tmp_path / "log.jsonl")).status == 0
        said = {"VKEY": str(key), "WITNESS_VKEY": str(running.key), "log.jsonl": str(tmp_path / "log.jsonl")}
        ran = run_here("--home", str(tmp_path), *(said.get(word, word) for word in verify))
    assert ran.status == 0, ran.err
    assert "anchored: 2 (last by witness/" in ran.out
