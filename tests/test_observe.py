"""Observe mode: everything is decided and recorded, nothing policy denies is stopped; and what it never loosens."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.audit.query import Filters
from mcp_guard.audit.verify import verify
from mcp_guard.build import Guard, open_freezing, open_guard, open_query
from mcp_guard.config.load import load
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import UnknownTool
from mcp_guard.model.principal import Principal
from tests.cli.conftest import change
from tests.simulators.process import Program

MAIL: dict[str, object] = {"to": ["x@elsewhere.example"], "subject": "s", "body": "b", "justification": "a test"}
TO_CUSTOMER = MAIL | {"to": ["chiara@globex.example"]}
MANIFEST = """\
apiVersion: mcp-guard/v1
kind: Tools
toolset: trial
defaults: {mode: observe, effects: none}
tools:
  - name: trial_open
    description: No row speaks about it, and it needs a scope nobody holds.
    inputSchema: {type: object, properties: {n: {type: integer}}}
    scopes: [trial:use]
    python: {function: "observed_tools:count"}
  - name: trial_held
    description: Of the same file, and obeyed.
    inputSchema: {type: object, properties: {}}
    mode: enforce
    python: {function: "observed_tools:count"}
  - name: trial_bound
    description: Bound to what nobody has.
    inputSchema: {type: object, properties: {}}
    bind: {n: principal.attributes.level}
    python: {function: "observed_tools:count"}
"""


@pytest.fixture
def home(desk: Program) -> Path:
    """The example home whose mail is in observe mode; beside it tools no row speaks about."""
    change(desk.home / "tool_manifests" / "mail.yaml", "toolset: mail\n", "toolset: mail\ndefaults: {mode: observe}\n")
    function = "def count(**_: object) -> dict[str, bool]:\n    return {'ran': True}\n"
    (desk.home / "observed_tools.py").write_text(function, encoding="utf-8")
    (desk.home / "tool_manifests" / "trial.yaml").write_text(MANIFEST, encoding="utf-8")
    return desk.home


@asynccontextmanager
async def _guard(home: Path) -> AsyncIterator[tuple[Guard, Principal]]:
    async with open_guard(load(home), serving=True, verbosity=-1) as guard:
        yield guard, guard.declare("user:alice", "agent:local")


async def _call(guard: Guard, who: Principal, tool: str, /, **arguments: object) -> Answer:
    return await guard.call(who, ToolCall(guard.new_call_id(), tool, arguments))


async def _rehearse(guard: Guard, who: Principal, tool: str, /, **arguments: object) -> Answer:
    return await guard.call(who, ToolCall(guard.new_call_id(), tool, arguments, dry_run="yes"))


def _records(home: Path, call: str | None = None) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    return [line for line in lines if call in (None, line.get("call"))]


def _outbox(home: Path) -> int:
    path = home / "var" / "outbox.jsonl"
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


@pytest.mark.holds("observe:decided-not-obeyed")
async def test_what_policy_denies_goes_on_and_the_record_says_what_would_have_been(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        answer = await _call(guard, alice, "mail_send", **MAIL)
    assert (answer.is_error, answer.structured["status"], _outbox(home)) == (False, "queued", 1)
    intent, outcome = _records(home, answer.call)
    assert (intent["would"], intent["decision"]["effect"], intent["decision"]["rule"]) == (
        "deny",
        "deny",
        "mail-elsewhere",
    )
    assert (outcome["status"], outcome["executed"], outcome["of"]) == ("ok", "yes", intent["_n"])
    assert "denied" not in answer.text
    assert answer.receipt is not None
    assert answer.receipt.n == outcome["_n"], "the receipt is that of what happened"


@pytest.mark.holds("observe:decided-not-obeyed")
async def test_what_waits_for_a_person_goes_on_too(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        allowed = await _call(guard, alice, "mail_send", **TO_CUSTOMER)
        await _call(guard, alice, "orders_notes", order_id="ORD-1003")
        answer = await _call(guard, alice, "mail_send", **TO_CUSTOMER)
    assert not answer.is_error
    first = _records(home, answer.call)[0]
    assert (first["would"], first["decision"]["rule"]) == ("require_approval", "mail-after-notes")
    assert "would" not in _records(home, allowed.call)[0], "what is allowed is allowed"


@pytest.mark.holds("observe:decided-not-obeyed")
async def test_scopes_and_lists_are_observed_like_rows(home: Path) -> None:
    """Who runs agents already has no row about them: a hidden tool would be a broken agent."""
    async with _guard(home) as (guard, alice):
        narrow = replace(alice, scopes=frozenset())
        lacking = await _call(guard, narrow, "mail_send", **TO_CUSTOMER)
        hidden = await _call(guard, alice, "trial_open", n=1)
        shown = {tool.name for tool in await guard.list_tools(alice)}
    assert (_records(home, lacking.call)[0]["decision"]["rule"], lacking.is_error) == ("guard:scope", False)
    assert hidden.structured == {"ran": True}
    [record] = _records(home, hidden.call)
    assert (record["would"], record["decision"]["rule"], record["executed"]) == ("deny", "guard:default", "yes")
    assert "fp" in record, "it is a tool that was found"
    assert {"trial_open", "trial_bound"} < shown
    assert "trial_held" not in shown


@pytest.mark.holds("observe:decided-not-obeyed", "audit:lists-recorded")
async def test_a_list_says_what_it_would_have_withheld(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        shown = {tool.name for tool in await guard.list_tools(alice)}
        catalog = set(guard.definition.catalog)
    [listed] = [record["state"] for record in _records(home) if record["kind"] == "read"]
    assert (listed["count"], listed["withheld"]) == (len(shown), len(catalog - shown))
    assert (listed["would_withhold"], listed["would_by"]) == (2, {"guard:default": 2})


@pytest.mark.holds("observe:never-loosens")
@pytest.mark.parametrize("target", ["user:alice", "agent:local", "tenant:acme", "tool:mail_send", "tool:trial_open"])
async def test_a_freeze_always_holds(target: str, home: Path) -> None:
    tool, arguments = ("trial_open", {"n": 1}) if target == "tool:trial_open" else ("mail_send", MAIL)
    async with _guard(home) as (guard, alice):
        async with open_freezing(guard.definition.home) as admin:
            await admin.freeze(target, "stopped")
        answer = await _call(guard, alice, tool, **arguments)
        rehearsal = await _rehearse(guard, alice, tool, **arguments)
    refusal: Any = answer.structured["guard"]
    assert (refusal["code"], refusal["executed"], _outbox(home)) == ("frozen", "no", 0)
    [record] = _records(home, answer.call)
    assert ("would" in record, record["decision"]["rule"]) == (False, "guard:frozen")
    view: Any = rehearsal.structured["guard"]
    assert ("observed" in view, view["rule"]) == (False, "guard:frozen")


@pytest.mark.holds("observe:never-loosens")
async def test_unknown_tools_bad_arguments_and_missing_attributes_stay_refused(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        for name in ("no_such_tool", "trial_held", "customers_delete"):
            with pytest.raises(UnknownTool):
                await _call(guard, alice, name)
        bad = await _call(guard, alice, "trial_open", n="1")
        unbound = await _call(guard, alice, "trial_bound")
        malformed = ToolCall(guard.new_call_id(), "mail_send", MAIL, dry_run="malformed")
        odd = await guard.call(alice, malformed)
    codes = [answer.structured["guard"]["code"] for answer in (bad, unbound, odd)]  # type: ignore[index]
    assert codes == ["args_invalid", "policy_denied", "args_invalid"]
    for answer in (bad, unbound, odd):
        assert {record["executed"] for record in _records(home, answer.call)} == {"no"}
    assert _outbox(home) == 0


@pytest.mark.holds("observe:never-loosens")
async def test_other_tools_are_obeyed_as_before(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        answer = await _call(guard, alice, "payments_refund", order_id="ORD-1002", amount=9000)
    refusal: Any = answer.structured["guard"]
    assert (refusal["code"], refusal["rule"]) == ("policy_denied", "refund-limit")
    assert "would" not in _records(home, answer.call)[0]


@pytest.mark.holds("observe:never-loosens")
async def test_while_nothing_can_be_recorded_nothing_is_executed(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        lock = sqlite3.connect(home / "var" / "guard.db", isolation_level=None)
        with closing(lock):
            lock.execute("BEGIN IMMEDIATE")
            answer = await _call(guard, alice, "mail_send", **MAIL)
            lock.execute("ROLLBACK")
    assert answer.structured["guard"]["code"] == "audit_unavailable"  # type: ignore[index]
    assert _outbox(home) == 0


@pytest.mark.holds("observe:told-truly")
async def test_dry_runs_and_permissions_tell_the_decision_and_that_it_is_only_observed(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        told = await _rehearse(guard, alice, "mail_send", **MAIL)
        fine = await _rehearse(guard, alice, "mail_send", **TO_CUSTOMER)
        hidden = await _rehearse(guard, alice, "trial_open", n=1)
        read: Any = await guard.read_permissions(alice)
    view: Any = told.structured["guard"]
    assert (view["effect"], view["rule"], view["observed"], _outbox(home)) == ("deny", "mail-elsewhere", True, 0)
    assert told.text.endswith("only observed: a call would be carried out")
    assert "observed" not in fine.structured["guard"]  # type: ignore[operator]
    assert hidden.structured["guard"]["rule"] == "guard:default"  # type: ignore[index]
    assert _records(home, told.call)[0]["would"] == "deny"
    rows = {row["tool"]: row for row in read["tools"]}
    assert {name for name, row in rows.items() if row.get("observed")} == {"mail_send", "trial_open"}
    assert (rows["trial_bound"]["effect"], rows["trial_bound"]["rule"]) == ("deny", "guard:default"), "it is stopped"
    assert (rows["trial_open"]["effect"], rows["trial_open"]["rule"]) == ("deny", "guard:default")
    assert rows["trial_open"]["missing_scopes"] == ["trial:use"]


@pytest.mark.holds("observe:findable")
async def test_what_would_have_been_stopped_can_be_found(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        denied = await _call(guard, alice, "mail_send", **MAIL)
        hidden = await _call(guard, alice, "trial_open", n=1)
        await _call(guard, alice, "mail_send", **TO_CUSTOMER)
        await _call(guard, alice, "payments_refund", order_id="ORD-1002", amount=9000)
        async with open_query(load(home)) as query:
            page = await query.page(Filters(would="deny"))
            none = await query.page(Filters(would="require_approval"))
    calls = [record["call"] for record in page.records]
    assert calls == [hidden.call, denied.call, denied.call], "outcomes are found by what their intent says"
    assert none.records == []
    report = verify(home / "var" / "guard.db", deep=True)
    assert report.ok, report.error


@pytest.mark.holds("observe:loud", "policy:hidden-is-unknown")
async def test_boot_record_and_status_name_the_observed_tools(home: Path) -> None:
    observed = ["mail_send", "trial_bound", "trial_open"]
    async with _guard(home) as (guard, _):
        status: Any = await guard.read_status(guard.declare("user:carol", "agent:local"))
        told: Any = await guard.read_status(guard.declare("user:alice", "agent:local"))
    assert status["in_force"]["observed"] == observed
    assert told["in_force"].keys() == {"policy", "reload"}, "who reads their own records learns of no hidden tools"
    [boot] = [record["state"] for record in _records(home) if record["kind"] == "boot"]
    assert boot["observed"] == observed


async def test_a_home_that_obeys_says_nothing_about_it(desk: Program) -> None:
    async with _guard(desk.home) as (guard, _):
        status: Any = await guard.read_status(guard.declare("user:carol", "agent:local"))
    assert "observed" not in status["in_force"]
    assert all("observed" not in record.get("state", {}) for record in _records(desk.home))


@pytest.mark.holds("policy:explain-recorded", "policy:replay")
async def test_what_was_observed_is_explained_and_replayed(home: Path) -> None:
    async with _guard(home) as (guard, alice):
        await _call(guard, alice, "trial_open", n=5)
        answer = await _call(guard, alice, "mail_send", **MAIL)
    program = Program(home)
    found = program.run("--json", "policy", "explain", answer.call).json
    assert (found["recorded"]["would"], found["now"]["rule"]) == ("deny", "mail-elsewhere")
    assert program.run("--json", "policy", "explain", "user:alice", "trial_open").json["observed"] is True
    replayed = program.run("--json", "policy", "replay", "--since", "1h")
    assert (replayed.json["replayed"], replayed.json["changes"]) == (2, [])
    rows = home / "policy" / "new.csv"
    text = (home / "policy" / "policy.csv").read_text(encoding="utf-8")
    rows.write_text(text + "p, t1, *, *, *, list, trial_open, True, allow, -, x\n", encoding="utf-8")
    assert program.run("--json", "policy", "replay", "--since", "1h", "--rules", str(rows)).json["changes"] == []
    with rows.open("a", encoding="utf-8") as file:
        file.write("p, t2, *, *, *, call, trial_open, r.ctx.args.n == 5, allow, -, x\n")
    looser = program.run("--json", "policy", "replay", "--since", "1h", "--rules", str(rows))
    assert (looser.status, [one["after"]["rule"] for one in looser.json["changes"]]) == (4, ["t2"])
