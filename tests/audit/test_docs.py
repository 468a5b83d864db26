"""docs/audit.md is run: what it tells operator and auditor to type works as it stands, in this order."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_guard.audit.examine import Report
from tests.simulators.process import Program

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"<!-- run: (operator|auditor) -->\n```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.skipif(os.name != "posix", reason="the page is written for a POSIX shell")
@pytest.mark.holds("docs:audit-runs", "audit:standalone")
def test_every_command_works(desk: Program, tmp_path: Path) -> None:
    assert desk.run("call", "orders_get", "order_id=ORD-1001").status == 0
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, target in (("mcp-guard", f"{sys.executable} -m mcp_guard"), ("python3", sys.executable)):
        (programs / name).write_text(f'#!/bin/sh\nexec {target} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    elsewhere = tmp_path / "auditor"
    elsewhere.mkdir()
    verdicts = []
    for who, commands in BLOCKS:
        if who == "auditor":
            for name in ("verify.py", "log.jsonl", "kept.txt"):
                shutil.copy(desk.home / name, elsewhere / name)
        for command in commands.splitlines():
            where = desk.home if who == "operator" else elsewhere
            ran = subprocess.run(
                ["sh", "-c", command], cwd=where, env=environ, capture_output=True, text=True, timeout=120, check=False
            )
            assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
            if found := re.search(r"^key: (.+)$", ran.stdout, re.MULTILINE):
                environ["KEY"] = found.group(1)
            if "verify" in command and "--json" in command:
                verdicts.append(json.loads(ran.stdout))
    assert [verdict["ok"] for verdict in verdicts] == [True]
    assert verdicts[0]["signed"] == verdicts[0]["records"] > 1


@pytest.mark.holds("docs:audit-runs")
def test_every_line_of_a_verdict_is_explained() -> None:
    for name in Report(True, "o", 0, "").as_dict().keys() - {"ok", "origin"}:
        assert f"| `{name}` |" in PAGE
    assert "`BROKEN at record N" in PAGE
