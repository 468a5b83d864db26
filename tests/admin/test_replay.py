"""Replaying what is on record: honest about what changes, and about what cannot be asked."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import orjson
import pytest

from mcp_guard.admin.replay import REASONS, Change, People, Replayed, Replayer, replay
from mcp_guard.audit.asked import LACKING, Asked, asked
from mcp_guard.audit.commitment import commit_value
from mcp_guard.build import Definition, define
from mcp_guard.build.questions import load_rules
from mcp_guard.config.load import load
from mcp_guard.demo.home import SANDBOX_PORT, copy_home
from mcp_guard.identity.directory import Directory, Profile
from mcp_guard.kit import strict_json
from mcp_guard.limits.freeze import Freeze
from mcp_guard.model import context
from mcp_guard.model.decision import (
    NO_SUCH_TOOL,
    RULE_DEFAULT,
    AccessRequest,
    Act,
    Decision,
    Effect,
    Obligations,
    scope_decision,
)
from mcp_guard.model.principal import Principal
from mcp_guard.policy.probes import World
from mcp_guard.store.side import pack

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
TOOL = """
  - name: papers
    description: For a test.
    inputSchema: {type: object, properties: {note: {type: string}}}
    bind: {passport: principal.attributes.passport}
    sensitive: [/note, /passport]
    effects: none
    python: {function: "testing_tools:papers"}
"""


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Definition:
    home = copy_home(tmp_path_factory.mktemp("replay") / "desk", SANDBOX_PORT)
    rules = home / "policy" / "policy.csv"
    kept = [line for line in rules.read_text(encoding="utf-8").splitlines() if not line.startswith("p, spend-stop")]
    rules.write_text("\n".join([*kept, ""]), encoding="utf-8")  # what was spent is looked at by nobody here
    (home / "testing_tools.py").write_text("def papers(**_):\n    return {}\n", encoding="utf-8")
    head = "apiVersion: mcp-guard/v1\nkind: Tools\ntoolset: testing\ntools:"
    (home / "tool_manifests" / "testing.yaml").write_text(head + TOOL, encoding="utf-8")
    return define(load(home, environ={}))


@pytest.fixture
def alice(definition: Definition) -> Principal:
    profile = definition.directory.profile("user:alice")
    return Principal(
        "user:alice",
        "agent:local",
        "acme",
        "local",
        "declared",
        scopes=profile.scopes,
        attributes=profile.attributes,
    )


def rules(definition: Definition, tmp_path: Path, *changes: tuple[str, str], more: str = "") -> Replayer:
    """The home's policy with changes, and rows behind it."""
    text = (definition.home.directory / "policy" / "policy.csv").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "new.csv").write_text(text + more, encoding="utf-8")
    return Replayer(load_rules(definition, tmp_path / "new.csv"), definition.catalog)


def recorded(
    definition: Definition,
    who: Principal,
    tool: str,
    arguments: Mapping[str, object] | None = None,
    *,
    act: Act = "call",
    call: str = "c",
    decision: Decision | None = None,
) -> Asked:
    asked = AccessRequest(who, act, tool, NOW, arguments, definition.environment)
    return Asked(0, 0, call, tool, decision or definition.policy.decide(asked), asked, arguments=arguments)


def refund(definition: Definition, who: Principal, amount: object, call: str = "c") -> Asked:
    return recorded(definition, who, "payments_refund", {"amount": amount, "order_id": "ORD-1001"}, call=call)


@pytest.mark.holds("policy:replay")
def test_what_changes_is_grouped_and_counted(definition: Definition, alice: Principal, tmp_path: Path) -> None:
    stricter_too = "p, no-orders, user:alice, *, *, call, orders_get, True, deny, -, not today\n"
    to_200 = (("amount <= 100,", "amount <= 200,"), ("100 < r.ctx.args.amount", "200 < r.ctx.args.amount"))
    other = rules(definition, tmp_path, *to_200, more=stricter_too)
    seen = [refund(definition, alice, amount, f"c{amount}") for amount in (40, 150, 170, 800, 9000)]
    seen.append(recorded(definition, alice, "orders_get", {"order_id": "ORD-1"}, call="order"))
    found = replay(other, seen)
    assert [change.as_dict() for change in found.changes] == [
        {
            "direction": "looser",
            "tool": "payments_refund",
            "before": {"effect": "require_approval", "rule": "refund-large"},
            "after": {"effect": "allow", "rule": "refund-small"},
            "count": 2,
            "example": "c150",
        },
        {
            "direction": "stricter",
            "tool": "orders_get",
            "before": {"effect": "allow", "rule": "support-reads-orders"},
            "after": {"effect": "deny", "rule": "no-orders"},
            "count": 1,
            "example": "order",
        },
    ]
    assert (found.decisions, found.replayed, found.is_looser) == (6, 6, True)
    assert found.policy == other.policy.version


@pytest.mark.holds("policy:replay")
def test_whatever_was_asked_is_decided_alike_again(definition: Definition, tmp_path: Path) -> None:
    """Written down and put together again, questions at the edges of the rows have the decisions they had."""
    more = (
        "p, seen, *, *, *, call, orders_get, 'pii' in r.ctx.seen, deny, -, x\n"
        "p, open, *, *, *, call, orders_search, hours(r.ctx.now, 'Mon-Fri 09:00-17:00'), allow, -, x\n"
        "p, scoped, *, *, *, call, *, 'x:y' in r.ctx.scopes and r.ctx.subject.attributes.a.b == 1, deny, -, x\n"
        "p, staged, role:claimed, *, *, call, *, r.ctx.env.name == 'x' or 'agent:x' in r.ctx.delegation, deny, -, x\n"
    )
    policy = rules(definition, tmp_path, more=more).policy
    world, random = World.of(policy.rules), Random(5)
    decided = set()
    for number in range(400):
        question = world.draw(random)
        question = replace(question, seen=random.choice([None, frozenset(), frozenset({"pii"})]))
        decision = policy.decide(question)
        record: dict[str, object] = {"_n": number, "_t": 1, "call": "c", "tool": question.tool}
        record |= {"actor": question.principal.as_actor(), "decision": decision.as_record()}
        record["ctx"], sides = commit_value("ctx", context.of_request(question))
        if question.arguments is not None:
            record["args"], arguments = commit_value("args", question.arguments)
            sides += arguments
        found = asked(orjson.loads(strict_json.dumps(record)), pack(sides))
        assert found is not None
        assert found.request is not None, found.lacking
        assert (found.decision, policy.decide(found.request)) == (decision, decision)
        decided.add(decision.rule)
    assert len(decided) > 15


@pytest.mark.holds("policy:replay")
def test_an_obligation_alone_can_be_looser(definition: Definition, alice: Principal, tmp_path: Path) -> None:
    other = rules(definition, tmp_path, ("approvers=role:finance; not=requester; ", "approvers=role:finance; "))
    (change,) = replay(other, [refund(definition, alice, 800)]).changes
    assert (change.direction, change.before.then.not_requester, change.after.then.not_requester) == (
        "looser",
        True,
        False,
    )


@pytest.mark.holds("policy:replay")
def test_the_pipelines_order_is_kept(definition: Definition, alice: Principal, tmp_path: Path) -> None:
    hides = rules(definition, tmp_path, ("p, support-sees-payments", "#"))
    (change,) = replay(hides, [refund(definition, alice, 40)]).changes
    assert (change.direction, change.after.rule) == ("stricter", RULE_DEFAULT), "what is not listed is not called"
    hidden = recorded(definition, alice, "customers_delete", act="list")
    shows = "p, shown, user:alice, *, acme, list, customers_delete, True, allow, -, seen\n"
    (change,) = replay(rules(definition, tmp_path, more=shows), [hidden]).changes
    assert (change.direction, change.after.rule) == ("looser", "shown")


@pytest.mark.holds("policy:replay")
def test_a_call_that_was_only_observed_is_asked_to_its_end(
    definition: Definition, alice: Principal, tmp_path: Path
) -> None:
    """Its list decision is the one on record; a row that lists the tool alone does not make the call allowed."""
    listing = recorded(definition, alice, "customers_delete", act="list")
    observed = replace(listing, arguments={"customer_id": "CUS-1"})
    lists = "p, shown, user:alice, *, acme, list, customers_delete, True, allow, -, seen\n"
    calls = "p, done, user:alice, *, acme, call, customers_delete, r.ctx.args.customer_id == 'CUS-1', allow, -, fine\n"
    assert replay(rules(definition, tmp_path, more=lists), [observed]).changes == ()
    (change,) = replay(rules(definition, tmp_path, more=lists + calls), [observed]).changes
    assert (change.direction, change.after.rule) == ("looser", "done")


@pytest.mark.holds("policy:replay", "policy:replay-honest")
def test_what_policy_did_not_decide_stays_as_it_was(definition: Definition, alice: Principal, tmp_path: Path) -> None:
    opens = "p, open, *, *, *, *, *, True, allow, -, everything\n"
    other = rules(definition, tmp_path, more=opens)
    frozen = Freeze("tool:payments_refund", "f1", "stop", 0).decision("p")
    scope = scope_decision(frozenset({"x:y"}), alice, "p")
    allowed = Decision(Effect.ALLOW, "r", "because", "p")
    never = Decision(Effect.DENY, RULE_DEFAULT, NO_SUCH_TOOL, "p")
    seen = [
        recorded(definition, alice, "payments_refund", {}, decision=frozen),
        recorded(definition, alice, "payments_refund", {}, decision=scope),
        recorded(definition, alice, "gone", decision=allowed),
        recorded(definition, alice, "orders_get", act="list", decision=never),
    ]
    found = replay(other, seen)
    assert found.changes == ()
    assert found.replayed == 0
    assert found.not_replayed == {"frozen": 1, "scope": 1, "unknown_tool": 2}
    lost = [replace(seen[2], request=None, lacking=lacking) for lacking in LACKING]  # type: ignore[arg-type]  # as above
    assert replay(other, lost).not_replayed == dict.fromkeys(sorted(LACKING), 1)
    assert found.not_replayed.keys() | LACKING.keys() <= REASONS.keys()


@pytest.mark.holds("policy:replay-honest")
def test_a_value_that_is_not_kept_is_not_made_up(definition: Definition, alice: Principal, tmp_path: Path) -> None:
    masked = {"amount": 40, "order_id": "ORD-1", "reason": {"sensitive": {"c": "ab", "len": 3}}}
    seen = replace(recorded(definition, alice, "payments_refund", masked), unknown=(("args", "reason"),))
    assert replay(Replayer(definition.policy, definition.catalog), [seen]).replayed == 1, "no condition asks for it"
    asks = 'p, by-reason, *, *, *, call, payments_refund, r.ctx.args.reason == "x", deny, -, no\n'
    found = replay(rules(definition, tmp_path, more=asks), [seen])
    assert (found.changes, found.not_replayed) == ((), {"unknown_value": 1})
    listed = 'p, by-team, *, *, *, list, *, r.ctx.subject.attributes.team == "x", deny, -, no\n'
    unseen = replace(seen, unknown=(("subject", "attributes", "team"),))
    assert replay(rules(definition, tmp_path, more=listed), [unseen]).not_replayed == {"unknown_value": 1}


@pytest.mark.holds("policy:replay-honest")
def test_what_nobody_looked_at_then_is_not_taken_for_nothing(
    definition: Definition, alice: Principal, tmp_path: Path
) -> None:
    asks = "p, by-seen, *, *, *, call, orders_get, not ('pii' in r.ctx.seen), deny, -, no\n"
    other = rules(definition, tmp_path, more=asks)
    seen = recorded(definition, alice, "orders_get", {"order_id": "ORD-1"})
    assert replay(other, [seen]).not_replayed == {"unknown_value": 1}
    assert seen.request is not None
    looked = replace(seen, request=replace(seen.request, seen=frozenset()))
    assert [change.after.rule for change in replay(other, [looked]).changes] == ["by-seen"]


@pytest.mark.holds("policy:replay")
def test_other_people(definition: Definition, alice: Principal, tmp_path: Path) -> None:
    department = "p, by-team, *, *, *, call, orders_get, r.ctx.subject.attributes.department == 'lab', deny, -, no\n"
    scoped = "p, by-scope, *, *, *, call, orders_get, 'orders:all' in r.ctx.scopes, deny, -, no\n"
    before = definition.directory
    profile = before.profile("user:alice")

    def asking(after: Profile, row: str, who: Principal) -> Replayed:
        policy = rules(definition, tmp_path, more=row).policy
        people = People(before, Directory({"user:alice": after}))
        seen = [recorded(definition, who, "orders_get", {"order_id": "ORD-1"})]
        return replay(Replayer(policy, definition.catalog, people), seen)

    assert asking(profile, department, alice).changes == ()
    (change,) = asking(replace(profile, attributes={"department": "lab"}), department, alice).changes
    assert change.after.rule == "by-team"
    narrowed = replace(alice, scopes=frozenset({"orders:read"}))
    assert asking(profile, scoped, narrowed).changes == (), "what the token narrowed stays narrow"
    (change,) = asking(replace(profile, scopes=profile.scopes | {"orders:all"}), scoped, narrowed).changes
    assert change.after.rule == "by-scope", "a scope that is added counts as held"


@pytest.mark.holds("policy:replay")
def test_bound_arguments_follow_other_people(definition: Definition, alice: Principal, tmp_path: Path) -> None:
    sees = (
        "p, p1, *, *, *, list, papers, True, allow, -, x\n"
        "p, p2, *, *, *, call, papers, r.ctx.args.passport == 'P-1', allow, -, x\n"
    )
    policy = rules(definition, tmp_path, more=sees).policy
    masked = {"passport": {"sensitive": {"c": "ab", "len": 5}}}
    before = Decision(Effect.ALLOW, "p2", "x", "p")
    seen = replace(
        recorded(definition, alice, "papers", masked, decision=before),
        unknown=(("args", "passport"), ("subject", "attributes", "passport")),
    )
    assert replay(Replayer(policy, definition.catalog), [seen]).not_replayed == {"unknown_value": 1}

    def asking(**attributes: str) -> Replayed:
        people = People(definition.directory, Directory({"user:alice": Profile(attributes=attributes)}))
        return replay(Replayer(policy, definition.catalog, people), [seen])

    assert asking(passport="P-1").changes == ()
    (change,) = asking(passport="P-2").changes
    assert (change.direction, change.after.rule) == ("stricter", RULE_DEFAULT)
    (change,) = asking().changes
    assert "no attribute passport" in change.after.reason


def test_memory_grows_with_the_kinds_of_change_only(definition: Definition, alice: Principal, tmp_path: Path) -> None:
    other = rules(definition, tmp_path, more="p, no, *, *, *, call, *, True, deny, -, no\n")
    found = replay(other, (refund(definition, alice, amount) for amount in range(1, 501)))
    assert [(change.before.rule, change.count) for change in found.changes] == [
        ("refund-large", 400),
        ("refund-small", 100),
    ]
    assert isinstance(found.changes[0], Change)


def test_obligations_of_a_record_count(definition: Definition, alice: Principal) -> None:
    then = Obligations(approvers=("role:finance",), not_requester=True, expires=60)
    before = Decision(Effect.REQUIRE_APPROVAL, "refund-large", "x", "p", then)
    seen = recorded(definition, alice, "payments_refund", {"amount": 800, "order_id": "x"}, decision=before)
    (change,) = replay(Replayer(definition.policy, definition.catalog), [seen]).changes
    assert change.direction == "looser", "an approval used to last a minute"
