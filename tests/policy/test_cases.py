"""Policy tests: the YAML people write, and what it says when a decision is another one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mcp_guard.model.errors import Invalid
from mcp_guard.policy.cases import CaseResult, run_cases
from mcp_guard.policy.snapshot import Snapshot
from tests.policy.conftest import Files, principal, row

GOOD = """\
- name: small
  as: user:alice
  via: agent:local
  tenant: acme
  tool: payments_refund
  args: {amount: 40}
  want: {effect: allow, rule: small}
- name: large
  as: user:alice
  via: agent:local
  tenant: acme
  tool: payments_refund
  args: {amount: 800}
  want: {effect: require_approval, then: {approvers: role:finance, not: requester, expires: 4h, quorum: 2}}
- name: at night
  as: user:alice
  via: agent:local
  tenant: acme
  tool: mail_send
  args: {}
  now: "2026-01-05T03:00:00+01:00"
  want: {effect: deny}
- {name: listed, as: user:alice, via: agent:local, tenant: acme, act: list, tool: mail_send, want: {effect: allow}}
"""


SEEN = """\
- {name: before, as: user:a, via: agent:x, tenant: acme, tool: mail_send, want: {effect: allow}}
- {name: after, as: user:a, via: agent:x, tenant: acme, tool: mail_send, seen: [pii, untrusted], want: {effect: deny}}
"""


@pytest.fixture
def snapshot(files: Files) -> Snapshot:
    return files.load(
        row(id="small", tool="payments_refund", when="r.ctx.args.amount <= 100"),
        row(id="large", tool="payments_refund", when="r.ctx.args.amount > 100", eft="require_approval",
            then="approvers=role:finance; not=requester; expires=4h; quorum=2"),
        row(id="mail", tool="mail_send", when='hours(r.ctx.now, "Mon-Fri 09:00-17:00")'),
        row(id="listed", act="list", tool="mail_send"),
    )  # fmt: skip


def run(snapshot: Snapshot, tmp_path: Path, text: str) -> list[CaseResult]:
    path = tmp_path / "cases.yaml"
    path.write_text(text, encoding="utf-8")
    return run_cases([path], snapshot, principal, shown_as=lambda found: found.name)


@pytest.mark.holds("policy:cases")
def test_what_is_wanted_passes(snapshot: Snapshot, tmp_path: Path) -> None:
    results = run(snapshot, tmp_path, GOOD)
    assert [(result.case.name, result.passed) for result in results] == [
        ("small", True),
        ("large", True),
        ("at night", True),
        ("listed", True),
    ]
    assert results[2].case.now == datetime(2026, 1, 5, 2, tzinfo=UTC)
    assert str(results[0]) == "cases.yaml:1: small: passed"


@pytest.mark.holds("policy:cases")
@pytest.mark.parametrize(
    ("want", "difference"),
    [
        ("{effect: deny}", "effect is require_approval, wanted deny"),
        ("{effect: require_approval, rule: small}", "rule is large, wanted small"),
        ("{effect: require_approval, then: {expires: 5h}}", "then.expires is 14400, wanted 5h"),
        ("{effect: require_approval, then: {approvers: role:x}}", "then.approvers is ['role:finance'], wanted role:x"),
        ("{effect: require_approval, then: {rows: all}}", "then.rows is not there, wanted all"),
    ],
)
def test_what_is_not_wanted_fails(snapshot: Snapshot, tmp_path: Path, want: str, difference: str) -> None:
    before, _, after = GOOD.partition("  want: {effect: require_approval")
    text = before + f"  want: {want}" + "\n" + after.partition("\n")[2]
    failed = [result for result in run(snapshot, tmp_path, text) if not result.passed]
    assert [result.differences for result in failed] == [(difference,)]
    assert str(failed[0]) == f"cases.yaml:8: large: failed: {difference}"
    assert failed[0].as_dict()["got"] == {
        "effect": "require_approval",
        "rule": "large",
        "reason": "because",
        "then": {"approvers": ["role:finance"], "not": "requester", "quorum": 2, "expires": 14_400},
    }


@pytest.mark.holds("policy:cases")
@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", "type", 1),
        ("name: x", "type", 1),
        ("- 3", "type", 1),
        ("- name: x\n  name: y", "duplicate_key", 2),
        (GOOD.replace("  tool: mail_send\n", ""), "missing", 15),
        (GOOD.replace("  args: {amount: 40}", "  arg: {amount: 40}"), "unknown_key", 6),
        (GOOD.replace("  args: {amount: 40}", "  args: [1]"), "type", 6),
        (GOOD.replace("act: list", "act: read"), "value", 23),
        (GOOD.replace("as: user:alice", "as: alice", 1), "name", 2),
        (GOOD.replace("as: user:alice", "as: role:support", 1), "name", 2),
        (GOOD.replace("via: agent:local", "via: role:trusted", 1), "name", 3),
        (GOOD.replace("tenant: acme", 'tenant: "*"', 1), "name", 4),
        (GOOD.replace("effect: deny", "effect: refuse"), "value", 22),
        (GOOD.replace("effect: deny", "efect: deny"), "value", 22),
        (GOOD.replace("effect: deny", "effect: deny, reason: x"), "value", 22),
        (GOOD.replace("expires: 4h", "expires: soon"), "value", 14),
        (GOOD.replace("expires: 4h", "escalate: role:boss"), "value", 14),
        (GOOD.replace("then: {approvers", "then: [approvers").replace("quorum: 2}}", "quorum: 2]}"), "value", 14),
        (GOOD.replace("03:00:00+01:00", "03:00:00"), "value", 21),
        (GOOD.replace('"2026-01-05T03:00:00+01:00"', "99999999999999999"), "value", 21),
        (GOOD.replace('"2026-01-05T03:00:00+01:00"', "true"), "value", 21),
    ],
)
def test_a_broken_file_is_refused_with_its_place(
    snapshot: Snapshot, tmp_path: Path, text: str, code: str, line: int
) -> None:
    with pytest.raises(Invalid) as caught:
        run(snapshot, tmp_path, text)
    first = caught.value.problems[0]
    assert (first.code, first.file, first.line) == (code, "cases.yaml", line)


@pytest.mark.holds("policy:cases")
def test_a_test_says_what_was_seen_and_without_it_there_was_nothing(files: Files, tmp_path: Path) -> None:
    policy = files.load(row(id="all"), row(id="read", when='"untrusted" in r.ctx.seen', eft="deny"))
    assert [str(result) for result in run(policy, tmp_path, SEEN) if not result.passed] == []
    with pytest.raises(Invalid) as caught:
        run(policy, tmp_path, SEEN.replace("[pii, untrusted]", "untrusted"))
    (problem,) = caught.value.problems
    assert (problem.code, problem.line) == ("type", 2)


@pytest.mark.holds("policy:cases")
def test_a_test_about_a_tool_there_is_not_does_not_pass_for_a_denial(snapshot: Snapshot, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        run(snapshot, tmp_path, GOOD.replace("act: list, tool: mail_send, want: {effect: allow}",
                                             "tool: mail_snd, want: {effect: deny}"))  # fmt: skip
    (problem,) = caught.value.problems
    assert (problem.code, problem.file, problem.line, problem.hint) == (
        "tool_unknown", "cases.yaml", 23, "did you mean mail_send?",
    )  # fmt: skip
