"""docs/limits.md says what is so: its tools compile, its settings are settings, its rows are rows."""

import re
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mcp_guard.build.definition import define
from mcp_guard.config.load import load
from mcp_guard.config.settings import Settings
from mcp_guard.model.decision import Effect
from mcp_guard.model.errors import Invalid
from mcp_guard.policy.obligations import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\S*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COSTS: list[str] = re.findall(r"^\| `(\{unit.*?\})` \|", PAGE, re.MULTILINE)
TOOL = """
apiVersion: mcp-guard/v1
kind: Tools
tools:
{tool}    description: A report.
    inputSchema:
      type: object
      properties: {{amount: {{type: number}}, ids: {{type: array}}}}
      required: [amount, ids]
    python: {{function: "a:b"}}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    copy = tmp_path / "home"
    copy.mkdir()
    for name in ("mcp-guard.yaml", "policy", "tool_manifests"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
    return copy


def test_the_tool_and_every_way_to_say_a_cost_compile(home: Path) -> None:
    shown = next(text for kind, text in BLOCKS if kind == "yaml" and "name:" in text)
    costs = [f"    cost: {cost}\n" for cost in COSTS]
    assert len(costs) == 4
    for cost in costs:
        kept = [line for line in shown.splitlines(keepends=True) if "cost:" not in line]
        tool = "".join([*kept, cost])
        (home / "tool_manifests" / "reports.yaml").write_text(TOOL.format(tool=tool), encoding="utf-8")
        assert len(define(load(home)).catalog["reports_run"].tool.limits) == 4


def test_the_settings_are_settings(home: Path) -> None:
    shown = next(text for kind, text in BLOCKS if kind == "yaml" and "global:" in text)
    settings = Settings.model_validate({"apiVersion": "mcp-guard/v1", "name": "x", **YAML(typ="safe").load(shown)})
    assert len(settings.limits.all()) == 7
    assert {limit.source for limit in settings.limits.all()} == {
        f"home:{one}" for one in ("global", "tenant", "subject", "client")
    }


def test_the_rows_are_rows() -> None:
    rows = [line.split(", ") for kind, text in BLOCKS if not kind for line in text.splitlines()]
    limited = [parse(row[9], Effect(row[8]), row[5], row[1]) for row in rows if row[9] != "-"]
    assert [len(then.limits) for then in limited] == [1, 2]


@pytest.mark.holds("limits:units-known")
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("policy/policy.csv", "p, stop, *, *, *, call, *, r.ctx.spent.usdd_today >= 400, deny, -, a typo\n"),
        ("policy/policy.csv", "p, pay, *, *, *, call, payments_refund, True, allow, budget=5eur/day/who, a typo\n"),
        ("mcp-guard.yaml", "limits: {tenant: {budget: [5eur/day]}}\n"),
    ],
)
def test_a_unit_nothing_costs_is_an_error(file: str, text: str, home: Path) -> None:
    """A limit in it would never hold, and nobody would notice."""
    with (home / file).open("a", encoding="utf-8") as opened:
        opened.write(text)
    last = len((home / file).read_text(encoding="utf-8").splitlines())
    with pytest.raises(Invalid) as caught:
        define(load(home))
    (problem,) = caught.value.problems
    assert (problem.code, problem.file, problem.line) == ("unit_unknown", file, last)
