"""Hot reload: what the files say comes in force as a whole, or not at all."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.build import open_guard, open_query
from mcp_guard.config.load import load
from mcp_guard.manifest import lock
from mcp_guard.model.errors import Invalid, StoreUnavailable
from mcp_guard.model.tool import definition
from tests.build.conftest import Desk
from tests.connect.tools import lives, until
from tests.simulators.mcp_server import Script
from tests.simulators.mcp_server import tool as listed
from tests.simulators.process import Program
from tests.simulators.raw import call_body, exchange, request

POLICY = "policy/policy.csv"
ROW = "p, refund-small, "


def _limit(to: int) -> Callable[[str], str]:
    """Move the amount above which nobody refunds; the policy tests of the example have nothing against 6000."""
    return lambda text: text.replace("r.ctx.args.amount <= 5000", f"r.ctx.args.amount <= {to}").replace(
        "r.ctx.args.amount > 5000", f"r.ctx.args.amount > {to}"
    )


def _rule(answer: Any) -> str:
    return str(answer.structured["guard"]["rule"])


@pytest.mark.holds("reload:in-force")
async def test_a_changed_policy_is_in_force_for_the_next_call_and_on_record(served: Desk) -> None:
    before = served.guard.definition.policy.version
    assert _rule(await served.refund(5500)) == "refund-limit"
    served.edit(POLICY, _limit(6000))
    await served.settle()
    assert _rule(await served.refund(5500)) == "refund-large"
    (change,) = [record["state"] for record in served.records("config")]
    after = served.guard.definition.policy.version
    assert (change["what"], change["old"], change["new"]) == ("reloaded", before, after)
    assert before != after
    decided = [record["decision"]["policy"] for record in served.records("outcome")]
    assert decided == [before, after]


@pytest.mark.holds("reload:in-force")
async def test_tools_and_people_come_in_force_with_the_policy(served: Desk) -> None:
    manifest = (
        "  - name: orders_count\n    description: How many.\n    inputSchema: {type: object, properties: {}}\n"
        '    sql: {database: "sqlite:var/orders.db", statement: "SELECT count(*) AS n FROM orders"}\n'
    )
    served.edit("tool_manifests/orders.yaml", lambda text: text + manifest)
    served.edit("policy/principals.yaml", lambda text: text.replace("payments:refund", "payments:nothing"))
    await served.settle()
    assert "orders_count" in {tool.name for tool in await served.guard.list_tools(served.alice())}
    counted = await served.call("orders_count")
    assert not counted.is_error, counted.text
    refused = await served.refund(10)
    assert _rule(refused) == "guard:scope", "a scope that was taken away is gone at once, for who was already connected"
    (change,) = [record["state"] for record in served.records("config")]
    assert change["tools"] == {"added": 1, "removed": 0, "changed": 0}
    assert change["principals"]["changed"] >= 1


@pytest.mark.holds("reload:settled")
async def test_a_file_that_is_still_being_written_is_not_read(served: Desk) -> None:
    path = served.home / POLICY
    whole = path.read_text(encoding="utf-8")
    deny = whole.index("p, refund-limit")
    path.write_text(whole[:deny], encoding="utf-8")  # a good policy by itself, without the rows that deny
    await served.reloader.look()
    assert _rule(await served.refund(9000)) == "refund-limit"
    path.write_text(whole, encoding="utf-8")
    await served.settle()
    await served.settle()
    assert _rule(await served.refund(9000)) == "refund-limit"
    assert served.records("config") == [], "nothing was different in the end"


@pytest.mark.holds("reload:settled")
async def test_the_same_content_written_again_changes_nothing(served: Desk) -> None:
    served.edit("policy/principals.yaml", lambda text: text + "# a comment\n")
    generation = served.guard.live.in_force.current
    await served.settle()
    assert served.guard.live.in_force.current is generation
    assert served.records("config") == []


BROKEN: dict[str, tuple[str, Callable[[str], str], str]] = {
    "an empty policy": (POLICY, lambda _: "", "empty"),
    "a policy cut off within a row": (POLICY, lambda text: text[: text.index(ROW) + 40] + "\n", "column_count"),
    "a rule stock Casbin would ignore": (POLICY, lambda text: text.replace(", deny,", ", denied,", 1), "effect"),
    "another model": ("policy/model.conf", lambda text: text.replace("some(", "all("), "model_unsupported"),
    "principals that are no YAML": ("policy/principals.yaml", lambda _: "{", "yaml"),
    "a manifest with an unknown key": (
        "tool_manifests/orders.yaml",
        lambda text: text + "surprise: 1\n",
        "unknown_key",
    ),
    "a binary manifest": ("tool_manifests/orders.yaml", lambda _: "\x00\x01", "yaml"),
    "a policy that fails its own tests": (POLICY, _limit(10_000), "policy_test"),
    "a test that is none": ("policy/tests/refunds.yaml", lambda _: "nonsense\n", "type"),
}


@pytest.mark.holds("reload:keeps-the-good-one")
@pytest.mark.parametrize("case", BROKEN)
async def test_what_is_broken_never_replaces_what_is_good(
    served: Desk, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    file, change, code = BROKEN[case]
    good = served.guard.live.in_force.current
    kept = (served.home / file).read_text(encoding="utf-8")
    served.edit(file, change)
    await served.settle()
    assert served.guard.live.in_force.current is good
    assert _rule(await served.refund(9000)) == "refund-limit"
    (refused,) = [record["state"] for record in served.records("config")]
    assert (refused["what"], refused["policy"]) == ("reload-refused", good.policy.version)
    assert refused["code"] == code
    blamed = "policy/tests/refunds.yaml" if code == "policy_test" else file
    assert refused["file"] == blamed
    assert f"not reloaded: {blamed}:" in caplog.text
    status: Any = await served.guard.read_status(served.guard.declare("user:carol", "agent:local"))
    assert status["in_force"]["reload"] == "refused"
    assert "problems" not in status["in_force"], "what is wrong with the files is the operator's to know"
    async with open_query(load(served.home, environ={})) as query:
        told: Any = (await query.status())["in_force"]
    assert told["policy"] == good.policy.version
    assert told["problems"][0]["code"] == code

    (served.home / file).write_text(kept, encoding="utf-8")
    await served.settle()
    async with open_query(load(served.home, environ={})) as query:
        mended: Any = (await query.status())["in_force"]
    assert mended["reload"] == "ok"


@pytest.mark.holds("reload:keeps-the-good-one")
async def test_a_verdict_is_given_once(served: Desk) -> None:
    served.edit(POLICY, lambda _: "")
    for _ in range(5):
        await served.settle()
    assert len(served.records("config")) == 1
    lines = Program(served.home).run("audit", "status").out.splitlines()
    assert "in_force.reload: refused" in lines
    assert f"in_force.problems: {POLICY}:1:1: error[empty]: holds no rules" in lines


@pytest.mark.holds("reload:keeps-the-good-one")
async def test_a_policy_that_fails_its_own_tests_is_not_served_after_a_restart_either(desk: Program) -> None:
    policy = desk.home / POLICY
    policy.write_text(_limit(10_000)(policy.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(Invalid) as refused:
        async with open_guard(load(desk.home, environ={}), serving=True, verbosity=-1):
            pass
    problem = refused.value.problems[0]
    assert problem.code == "policy_test"
    assert problem.file.startswith("policy/tests/")
    assert problem.line > 0
    assert problem.hint


@pytest.mark.holds("reload:recorded-first")
async def test_a_change_that_cannot_be_put_on_record_waits_until_it_can(
    served: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.edit(POLICY, _limit(6000))

    async def failing(*_: object, **__: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(served.guard.journal, "_write", failing)
        await served.reloader.look()
        with pytest.raises(StoreUnavailable):
            await served.reloader.look()
    assert _rule(await served.refund(5500)) == "refund-limit"
    await served.reloader.look()
    assert _rule(await served.refund(5500)) == "refund-large"


@pytest.mark.holds("reload:call-keeps-its-own")
async def test_a_call_ends_under_what_it_began_with(served: Desk) -> None:
    """The tool, and the connection it uses, are taken away while the call runs."""
    (served.home / "slow_tools.py").write_text(
        "import asyncio\n\nstarted, go = asyncio.Event(), asyncio.Event()\n\n\n"
        "async def wait() -> str:\n    started.set()\n    await go.wait()\n    return 'waited'\n",
        encoding="utf-8",
    )
    served.edit(
        "tool_manifests/orders.yaml",
        lambda text: (
            text
            + "  - name: orders_wait\n    description: Waits.\n    effects: once\n"
            + "    inputSchema: {type: object, properties: {}}\n"
            + '    python: {function: "slow_tools:wait"}\n'
        ),
    )
    await served.settle()
    waiting = asyncio.ensure_future(served.call("orders_wait"))
    import slow_tools  # type: ignore[import-not-found]

    async with asyncio.timeout(60):
        await slow_tools.started.wait()
    before = served.guard.definition.policy.version
    served.edit("tool_manifests/orders.yaml", lambda text: text[: text.index("  - name: orders_wait")])
    await served.settle()
    assert "orders_wait" not in served.guard.definition.catalog
    slow_tools.go.set()
    answer = await waiting
    assert (answer.is_error, answer.structured) == (False, {"result": "waited"})
    assert answer.receipt is not None
    (intent,) = served.records("intent")
    assert intent["decision"]["policy"] == before
    assert served.records("outcome")[-1]["of"] == intent["_n"]


@pytest.mark.holds("reload:under-load")
async def test_no_call_is_decided_wrongly_while_the_policy_is_swapped_a_hundred_times(served: Desk) -> None:
    """Two policies that differ in two rows which only make sense together, swapped under calls of four clients."""
    strict = (served.home / POLICY).read_text(encoding="utf-8")
    right = {served.guard.definition.policy.version: "refund-limit"}
    over = asyncio.Event()

    async def client() -> None:
        while not over.is_set():
            await served.refund(5500)
            told: Any = await served.guard.read_permissions(served.alice())
            assert told["policy"] in right

    clients = [asyncio.create_task(client()) for _ in range(4)]
    for turn in range(100):
        text, rule = (_limit(6000)(strict), "refund-large") if turn % 2 == 0 else (strict, "refund-limit")
        (served.home / POLICY).write_text(text, encoding="utf-8")
        await served.settle()
        right[served.guard.definition.policy.version] = rule
    over.set()
    await asyncio.gather(*clients)
    decided = [
        found["decision"] for kind in ("intent", "outcome") for found in served.records(kind) if "decision" in found
    ]
    assert {decision["policy"] for decision in decided} == set(right), "both policies were met"
    assert [decision for decision in decided if right[decision["policy"]] != decision["rule"]] == []
    assert len(served.records("config")) == 100


@pytest.mark.holds("reload:needs-restart")
async def test_what_only_a_new_start_can_give_is_refused_and_said(
    served: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    served.edit("tool_manifests/payments.yaml", lambda text: text.replace("${secret:payments_key}", "${token:call}"))
    await served.settle()
    (refused,) = [record["state"] for record in served.records("config")]
    assert refused["code"] == "needs_restart"
    assert "start mcp-guard anew" in caplog.text
    served.edit("mcp-guard.yaml", lambda text: text + "audit: {key_epoch: 31d}\n")
    await served.settle()
    assert "mcp-guard.yaml changed: audit is read at the next start" in caplog.text


@pytest.mark.holds("reload:limits")
async def test_limits_of_the_configuration_come_in_force_like_manifests(served: Desk) -> None:
    assert not (await served.refund(3)).is_error
    served.edit("mcp-guard.yaml", lambda text: text + "limits: {subject: {quota: 2/day}}\n")
    await served.settle()
    (change,) = [record["state"] for record in served.records("config")]
    assert (change["what"], change["settings"]) == ("reloaded", ["limits"])
    assert not (await served.refund(4)).is_error
    assert not (await served.refund(5)).is_error
    told: Any = (await served.refund(6)).structured["guard"]
    assert told["code"] == "budget_exhausted"
    served.edit("mcp-guard.yaml", lambda text: text.replace("quota: 2/day", "quota: 2/fortnight"))
    await served.settle()
    assert served.records("config")[-1]["state"]["what"] == "reload-refused"
    told = (await served.refund(7)).structured["guard"]
    assert told["code"] == "budget_exhausted", "what is in force stays"
    served.edit("mcp-guard.yaml", lambda text: text.replace("quota: 2/fortnight", "quota: 9/day"))
    await served.settle()
    assert not (await served.refund(8)).is_error


@pytest.mark.holds("reload:every-process")
async def test_every_serving_process_follows_the_files(desk: Program) -> None:
    """Two servers of one home: a role that is taken away is gone in both, for whoever holds a token."""
    token = desk.token("user:alice", "--client", "agent:local")
    looked_up = call_body("orders_get", {"order_id": "ORD-1001"})
    with desk.http() as one, desk.http() as other:
        ports = (one.port, other.port)
        for port in ports:
            assert "result" in (await exchange(port, request(port, looked_up, token=token))).json
        for case in (desk.home / "policy" / "tests").glob("*.yaml"):
            case.unlink()  # they are about Alice
        policy = desk.home / POLICY
        policy.write_text(policy.read_text(encoding="utf-8").replace("g, user:alice, role:support, acme\n", ""))
        async with asyncio.timeout(60):
            for port in ports:
                while "result" in (await exchange(port, request(port, looked_up, token=token))).json:
                    await asyncio.sleep(0.05)


@pytest.mark.holds("reload:keeps-the-good-one")
@pytest.mark.parametrize("name", ["policy/policy.csv", "policy/principals.yaml"])
@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no endless file here")
async def test_a_file_without_an_end_is_refused_and_fills_no_memory(name: str, served: Desk) -> None:
    path = served.home / name
    path.unlink()
    path.symlink_to("/dev/zero")
    await served.settle()
    assert [record["state"]["what"] for record in served.records("config")][-1:] == ["reload-refused"]
    assert _rule(await served.refund(5500)) == "refund-limit"


@pytest.mark.holds("upstream:session", "reload:in-force")
async def test_a_server_that_is_not_named_any_more_is_ended(served: Desk, tmp_path: Path) -> None:
    script = Script(tmp_path / "server")
    lock.write(served.home, lock.Lock({"notes": {"say": definition(listed("say"))}}))
    manifest = {"apiVersion": "mcp-guard/v1", "kind": "Tools", "toolset": "notes"}
    servers = [{"name": "notes", "command": script.argv, "allow": ["*"], "overrides": {"say": {"effects": "none"}}}]
    file = served.home / "tool_manifests" / "notes.yaml"
    file.write_text(json.dumps({**manifest, "upstreams": servers}), encoding="utf-8")
    rows = "p, notes, role:support, *, acme, list call, toolset:notes, True, allow, -, notes\n"
    rules = [rows.replace("list call", act) for act in ("list", "call")]
    served.edit(POLICY, lambda text: text.rstrip() + "\n" + rules[0] + rules[1].replace("notes,", "notes-call,", 1))
    await served.settle()
    answer = await served.call("notes_say", text="hi")
    assert not answer.is_error, answer.text
    file.unlink()
    served.edit(POLICY, lambda text: "".join(line for line in text.splitlines(True) if "toolset:notes" not in line))
    await served.settle()
    await until(lambda: not lives(script.process))
