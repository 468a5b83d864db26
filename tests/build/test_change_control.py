"""With `change_control: second-person` what lets more through waits for two people, whatever way it comes in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.admin.change_control import ChangeControl
from mcp_guard.build import open_guard, open_query
from mcp_guard.build.change import open_proposal
from mcp_guard.build.reload import Reloader
from mcp_guard.build.watch import stamp_of
from mcp_guard.config.load import load
from mcp_guard.kit.clock import SystemClock
from mcp_guard.model.errors import Invalid
from tests.build.conftest import Desk
from tests.build.test_reload import POLICY, _limit, _rule
from tests.simulators.process import Done, Program

DECIDERS = """\
p, policy-changes, role:finance, *, acme, approve, guard:policy, True, allow, -, finance confirms changes
p, policy-changes-too, role:manager, *, acme, approve, guard:policy, True, allow, -, managers confirm changes
"""


@pytest.fixture
def home(desk: Program) -> Path:
    """The example home under change control; finance and managers may confirm."""
    config = desk.home / "mcp-guard.yaml"
    text = config.read_text(encoding="utf-8")
    assert "policy:\n" in text
    config.write_text(text.replace("policy:\n", "policy:\n  change_control: second-person\n"), encoding="utf-8")
    policy = desk.home / POLICY
    policy.write_text(policy.read_text(encoding="utf-8") + DECIDERS, encoding="utf-8")
    return desk.home


@pytest.fixture
async def served(home: Path, serve: Callable[[Path], Any]) -> Any:
    async with serve(home) as opened:
        store = opened.guard.journal._store
        control = ChangeControl(store, opened.guard.journal, SystemClock())
        guard, stamp = opened.guard, stamp_of(opened.guard.definition.home)
        yield Desk(home, guard, Reloader(guard.live, guard.journal, guard.pipeline, stamp, control))


def _confirm(home: Path, token: str | None, change: str | None = None) -> Done:
    program = Program(home)
    change = change or program.run("--json", "policy", "confirm").json["change"]
    return program.run("--json", "policy", "confirm", change, *(["--token", token] if token else []))


async def _standing(home: Path) -> dict[str, Any]:
    async with open_query(load(home, environ={})) as query:
        found: Any = (await query.status())["in_force"]
    return dict(found)


@pytest.mark.holds("change:second-person")
async def test_a_looser_policy_waits_for_two_people_and_comes_in_force_by_itself(served: Desk) -> None:
    program = Program(served.home)
    bob, dana, alice = (program.token(f"user:{name}") for name in ("bob", "dana", "alice"))
    served.edit(POLICY, _limit(6000))
    await served.settle()
    assert _rule(await served.refund(5500)) == "refund-limit"
    (waiting,) = [record["state"] for record in served.records("config") if record["state"]["what"] == "reload-waiting"]
    assert (await _standing(served.home))["reload"] == "waiting"
    shown = program.run("policy", "confirm")
    assert shown.status == 6
    assert "payments_refund" in shown.out
    assert waiting["change"][:12] in shown.out

    assert _confirm(served.home, alice).status == 5, "support may not confirm"
    assert _confirm(served.home, None).status == 5, "nobody is nobody"
    assert _confirm(served.home, bob, "0" * 64).status == 2, "some other change"
    once = _confirm(served.home, bob)
    assert (once.status, once.json["confirmed"]) == (6, ["user:bob"])
    again = _confirm(served.home, program.token("user:bob", "--client", "agent:other"))
    assert again.status == 2, "one person counts once, through whatever client"
    await served.settle()
    assert _rule(await served.refund(5500)) == "refund-limit"
    assert _confirm(served.home, dana).status == 0
    await served.settle()
    assert _rule(await served.refund(5500)) == "refund-large"
    said = [record for record in served.records("config") if record["state"]["what"] == "change-confirmed"]
    assert [record["actor"]["sub"] for record in said] == ["user:bob", "user:dana"]
    assert (await _standing(served.home))["reload"] == "ok"


@pytest.mark.holds("change:second-person")
async def test_a_restart_is_no_way_around(served: Desk) -> None:
    served.edit(POLICY, _limit(6000))
    for serving in (True, False):
        with pytest.raises(Invalid) as refused:
            async with open_guard(load(served.home, environ={}), serving=serving, verbosity=-1):
                pass
        (problem,) = refused.value.problems
        assert problem.code == "unconfirmed"
        assert "policy confirm" in problem.hint


@pytest.mark.holds("change:second-person")
async def test_what_was_confirmed_is_not_what_was_swapped_in_afterwards(served: Desk) -> None:
    program = Program(served.home)
    bob, dana = program.token("user:bob"), program.token("user:dana")
    served.edit(POLICY, _limit(5600))
    change = program.run("--json", "policy", "confirm").json["change"]
    assert _confirm(served.home, bob, change).status == 6
    served.edit(POLICY, lambda text: text.replace("5600", "6000"))
    assert _confirm(served.home, dana, change).status == 2
    assert _confirm(served.home, dana).json["confirmed"] == ["user:dana"]
    await served.settle()
    assert _rule(await served.refund(5500)) == "refund-limit"


@pytest.mark.holds("change:second-person")
async def test_a_change_does_not_vote_for_itself(served: Desk) -> None:
    """Who may confirm is said by the policy in force, not by the one that waits."""
    program = Program(served.home)
    alice = program.token("user:alice")
    served.edit(POLICY, lambda text: _limit(6000)(text) + "g, user:alice, role:manager, acme\n")
    assert _confirm(served.home, alice).status == 5


@pytest.mark.holds("change:second-person")
async def test_the_digits_that_are_shown_confirm_the_whole_change(served: Desk) -> None:
    program = Program(served.home)
    bob, dana = program.token("user:bob"), program.token("user:dana")
    served.edit(POLICY, _limit(6000))
    change = program.run("--json", "policy", "confirm").json["change"]
    assert _confirm(served.home, bob, change[:12]).status == 6
    assert _confirm(served.home, bob, change[:13]).status == 2, "another spelling is not another person"
    assert _confirm(served.home, dana, change[:12]).status == 0
    await served.settle()
    assert _rule(await served.refund(5500)) == "refund-large"


@pytest.mark.holds("change:second-person")
async def test_nobody_confirms_a_change_of_themselves(served: Desk) -> None:
    """The people in the files are part of what waits: an attribute claimed there must not open the door for it."""
    program = Program(served.home)
    served.edit(POLICY, lambda text: text.replace(
        "user:erin, role:manager, acme\n", "user:erin, role:manager, acme\n"
        + 'p, by-department, *, *, acme, approve, guard:policy, r.ctx.subject.attributes.department == "security", '
        "allow, -, security confirms\n"))  # fmt: skip
    bob, dana, alice = (program.token(f"user:{name}") for name in ("bob", "dana", "alice"))
    assert [_confirm(served.home, token).status for token in (bob, dana)] == [6, 0]
    await served.settle()
    served.edit("policy/principals.yaml", lambda text: text.replace("department: support", "department: security"))
    refused = _confirm(served.home, alice)
    assert refused.status == 5
    assert "change" in refused.out


@pytest.mark.holds("change:second-person")
async def test_somebody_frozen_confirms_nothing(served: Desk) -> None:
    program = Program(served.home)
    bob = program.token("user:bob")
    served.edit(POLICY, _limit(6000))
    assert program.run("freeze", "--subject", "user:bob", "--reason", "a lost laptop").status == 0
    refused = _confirm(served.home, bob)
    assert refused.status == 5
    assert "a lost laptop" in refused.out


@pytest.mark.holds("change:tightening")
async def test_what_tightens_applies_at_once_and_is_what_later_changes_are_held_against(served: Desk) -> None:
    served.edit(POLICY, _limit(5100))
    served.edit(POLICY, lambda text: text.replace("5100", "4999.5"))
    for case in (served.home / "policy" / "tests").glob("refunds.yaml"):
        case.unlink()
    await served.settle()
    assert _rule(await served.refund(5000)) == "refund-limit"
    served.edit(POLICY, lambda text: text.replace("4999.5", "5000"))
    await served.settle()
    assert _rule(await served.refund(5000)) == "refund-limit", "back to where it was is looser than what is in force"
    assert (await _standing(served.home))["reload"] == "waiting"


@pytest.mark.holds("change:second-person")
async def test_where_nothing_waits_there_is_nothing_to_confirm(served: Desk) -> None:
    shown = Program(served.home).run("policy", "confirm")
    assert (shown.status, "nothing to confirm" in shown.out) == (0, True)
    async with open_proposal(load(served.home, environ={})) as proposal:
        assert list(proposal.loosens) == []


@pytest.mark.holds("change:second-person")
def test_without_change_control_the_command_says_so(desk: Program) -> None:
    assert desk.run("call", "orders_get", "order_id=ORD-1001").status == 0
    refused = desk.run("policy", "confirm")
    assert refused.status == 2
    assert "change_control" in refused.err


@pytest.mark.holds("change:second-person")
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("tool_manifests/payments.yaml", "/v1/orders/{order_id}/refunds", "/v1/orders/{order_id}/gifts"),
        ("tool_manifests/payments.yaml", "    bind: {requested_by: principal.subject}\n", ""),
        ("tool_manifests/orders.yaml", "order_id = :order_id ORDER", "order_id >= :order_id ORDER"),
    ],
)
async def test_what_an_allowed_call_means_is_part_of_it(served: Desk, file: str, old: str, new: str) -> None:
    """Policy stays as it is, and the tool behind a name becomes another."""
    before = served.guard.definition.catalog
    text = (served.home / file).read_text(encoding="utf-8")
    assert old in text
    text = text.replace(old, new).replace(', by: "{requested_by}"', "" if "bind:" in old else ', by: "{requested_by}"')
    (served.home / file).write_text(text, encoding="utf-8")
    await served.settle()
    assert served.guard.definition.catalog is before
    assert (await _standing(served.home))["reload"] == "waiting"


@pytest.mark.holds("reload:limits")
async def test_limits_of_the_configuration_wait_for_the_next_start(
    served: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    served.edit("mcp-guard.yaml", lambda text: text + "limits: {subject: {quota: 1/day}}\n")
    await served.settle()
    assert served.guard.definition.home.settings.limits.all() == ()
    assert "limits is read at the next start" in caplog.text
