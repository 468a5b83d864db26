"""`near`: the rows that almost applied, and why they did not."""

from mcp_guard.policy.explain import MOST, near
from tests.policy.conftest import Files, principal, request, row


def test_the_nearest_misses_come_first(files: Files) -> None:
    snapshot = files.load(
        row(id="both", who="role:x", when="r.ctx.args.amount > 100"),
        row(id="who", who="role:x"),
        row(id="when", when="r.ctx.args.amount > 100", eft="deny"),
        row(id="failing", when="r.ctx.args.missing > 100"),
        row(id="via", via="agent:other"),
        row(id="tenant", tenant="globex"),
        row(id="applies"),
        row(id="other-tool", tool="orders_get"),
        row(id="other-act", act="list"),
    )
    assert near(snapshot.rules, request(arguments={"amount": 5})) == [
        {"rule": "who", "line": 2, "effect": "allow", "because": "user:alice is not role:x"},
        {"rule": "when", "line": 3, "effect": "deny", "because": "the condition is not met: r.ctx.args.amount > 100"},
        {
            "rule": "failing",
            "line": 4,
            "effect": "allow",
            "because": "the condition cannot be evaluated for this request: r.ctx.args.missing > 100",
        },
        {"rule": "via", "line": 5, "effect": "allow", "because": "agent:local is not agent:other"},
        {"rule": "tenant", "line": 6, "effect": "allow", "because": "the rule is for tenant globex"},
    ]


def test_no_more_than_can_be_read(files: Files) -> None:
    snapshot = files.load(*(row(id=f"r{index}", who="user:bob") for index in range(50)))
    assert [entry["rule"] for entry in near(snapshot.rules, request())] == [f"r{index}" for index in range(MOST)]


def test_a_hop_that_lacks_the_rule_is_named(files: Files) -> None:
    snapshot = files.load(row(id="a", who="user:alice"))
    (entry,) = near(snapshot.rules, request(who=principal(chain=("agent:planner",))))
    assert entry["because"] == "agent:planner is not user:alice"
