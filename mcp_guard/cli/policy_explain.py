"""`mcp-guard policy explain`: why a decision is what it is, for a question or for a call on record."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from mcp_guard.cli.arguments import from_document
from mcp_guard.cli.audit import with_query
from mcp_guard.cli.options import ACT, CLIENT, HOP, SPENT, SUBJECT, TENANT, merged
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.admin.recorded import Recorded
    from mcp_guard.admin.what_if import Explained, Verdict
    from mcp_guard.build import Definition
    from mcp_guard.model.decision import Act
    from mcp_guard.policy.explanation import Account, Explanation
    from mcp_guard.policy.reading import Seen
    from mcp_guard.policy.second_opinion import Opinion

_RECORD = re.compile("[0-9a-f]{32}|[0-9]{1,15}")
_ABOUT = {"applied": "applies", "false": "condition not met", "failed": "condition cannot be evaluated"}


@click.command()
@click.argument("question", nargs=-1, required=True, metavar="SUBJECT TOOL [ARGS] | CALL")
@click.option("--client", type=CLIENT, help="The agent (default: identity.local.client).")
@click.option("--tenant", type=TENANT, help="Default: the subject's tenant.")
@click.option("--act", type=ACT, help="Default: call, and audit for audit:records.")
@click.option("--chain", type=HOP, multiple=True, help="A further hop of a delegation; repeat for more, nearest first.")
@click.option("--seen", multiple=True, metavar="LABEL", help="A label of what was returned before; can be repeated.")
@click.option("--spent", type=SPENT, multiple=True, help="What was spent: usd_today=N, usd_month=N, or usd=N for both.")
@click.option("--stock", is_flag=True, help="Add what stock Casbin answers, and why it may differ.")
@pass_output
def explain(output: Output, /, question: tuple[str, ...], stock: bool, **who: Any) -> None:
    """Why policy decides as it does: every row that fits with what became of it and what its condition saw, and rows
    that came close.

    Asked about SUBJECT, TOOL and ARGS (a JSON object), or about the call with the id or record number CALL: then what
    was decided, with which inputs, and what the policy in force would say of them now. Nothing is executed or recorded.
    Values the tool calls sensitive are shown as ***. Whatever the answer is, the exit status is 0.
    """
    match question:
        case (subject, tool, *rest) if len(rest) < 2:
            given = from_document(rest[0] if rest else "{}", "ARGS")
            _explain_question(output, SUBJECT.convert(subject, None, None), tool, given, stock, **who)
        case (which,) if _RECORD.fullmatch(which) and not any(who.values()):
            _explain_record(output, which, stock)
        case _:
            hint = "policy explain SUBJECT TOOL [ARGS], or a call on record alone, by its id or a record's number"
            raise UsageError("This is neither a question nor a call.", hint=hint)


def _explain_question(
    output: Output,
    subject: str,
    tool: str,
    given: Mapping[str, object],
    stock: bool,
    *,
    client: str | None,
    tenant: str | None,
    act: "Act | None",
    chain: Sequence[str],
    seen: Sequence[str],
    spent: Sequence[Mapping[str, int | float]],
) -> None:
    from dataclasses import replace

    from mcp_guard.admin.what_if import principal_of
    from mcp_guard.build import define

    definition = define(output.load_home())
    local = definition.home.settings.identity.local
    belongs = tenant or definition.directory.profile(subject).tenant or local.tenant
    principal = principal_of(definition.directory, subject, client or local.client, belongs)
    found = definition.what_if(frozenset(seen), merged(spent)).explain(
        replace(principal, chain=tuple(chain)), act, tool, given
    )
    opinion = _stock(definition, found.explanation) if stock else None
    output.data(found.as_dict() | _shown(opinion), [*_answer(found), *_reasons(found.explanation), *_said(opinion)])
    say_beside(output, tool, found.verdict)


def _explain_record(output: Output, which: str, stock: bool) -> None:
    from mcp_guard.admin.recorded import explain, find
    from mcp_guard.build import define

    found = with_query(output, lambda query: find(query, which))
    if found is None:
        hint = "`mcp-guard audit query` shows calls; reads, boots and the like are not decided by rows"
        raise UsageError("There is no decision under this id or number in the log.", hint=hint)
    definition = define(output.load_home())
    recorded = explain(definition.what_if(), found)
    opinion = _stock(definition, recorded.explanation) if stock and recorded.explanation else None
    output.data(recorded.as_dict() | _shown(opinion), [*_record_lines(recorded), *_said(opinion)])


def say_beside(output: Output, tool: str, verdict: "Verdict") -> None:
    """What a verdict on TOOL does not say itself, told on stderr."""
    if verdict.observed:
        output.note(f"{tool} is in observe mode: this would be recorded, and the call carried out all the same")
    if verdict.violations:
        output.note("a call with these arguments would be refused before: " + "; ".join(verdict.violations))


def _stock(definition: "Definition", explanation: "Explanation") -> "Opinion":
    from mcp_guard.build import ask_stock

    return ask_stock(definition, explanation)


def _shown(opinion: "Opinion | None") -> dict[str, object]:
    return {} if opinion is None else {"stock": opinion.as_dict()}


def _said(opinion: "Opinion | None") -> Iterator[str]:
    if opinion is not None:
        answer = {True: "allow", False: "deny", None: "raises an error"}[opinion.allows]
        yield f"stock Casbin: {answer} ({'the same' if opinion.agrees else 'another answer'})"
        yield from (f"  {note}" for note in opinion.notes)


def _answer(found: "Explained") -> Iterator[str]:
    decision = found.verdict.decision
    yield f"{decision.effect.value} by {decision.rule}: {decision.reason}"
    if then := decision.then.as_dict():
        yield f"  then: {json.dumps(then)}"
    if decision != found.explanation.decision:
        yield "  decided before the rules are asked; they would say:"
    if found.explanation.request.act != "call":
        yield f"  about: {found.explanation.request.act}"


def _reasons(explanation: "Explanation") -> Iterator[str]:
    for hop in explanation.hops:
        yield f"{hop.who}: {hop.decision.effect.value} by {hop.decision.rule}"
        for account in hop.accounts:
            yield _account(account)
            yield from _values(account.row.when.text, account.seen)
        for near in hop.near:
            row, reasons = near.miss
            yield f"  near: {row.id} (line {row.line}, {row.effect.value}): {'; '.join(reasons)}"
            yield from _values(row.when.text, near.seen)


def _account(account: "Account") -> str:
    row, mark = account.row, "*" if account.decides else "-"
    return f"  {mark} {row.id} (line {row.line}, {row.effect.value}): {_ABOUT[account.outcome]}"


def _values(condition: str, seen: "Sequence[Seen]") -> Iterator[str]:
    if seen:
        yield f"      when {condition}"
    for one in seen:
        yield f"      {one.field} " + ("is missing" if one.missing else f"= {json.dumps(one.value)}")


def _record_lines(recorded: "Recorded") -> Iterator[str]:
    from mcp_guard.admin.replay import REASONS

    shown = recorded.as_dict()
    decision, now = recorded.found.asked.decision, recorded.now
    yield f"record {shown['n']}, {shown['time']}: {shown['tool']}"
    if decision is not None:
        yield f"then: {decision.effect.value} by {decision.rule}: {decision.reason}"
        if recorded.found.would is not None:
            yield "  only observed: the call was not stopped by it"
        yield f"  policy: {decision.policy[:16]}"
    ended = shown["ended"]
    if isinstance(ended, Mapping):
        yield "  ended: " + ", ".join(f"{name} {value}" for name, value in ended.items())
    for name, value in (recorded.inputs or {}).items():
        yield f"  {name}: {json.dumps(value)}"
    if now is None or recorded.explanation is None:
        yield f"now: cannot be asked: {REASONS[recorded.reason or 'unreadable']}"
        return
    yield f"now: {now.effect.value} by {now.rule}: {now.reason}"
    same = decision is not None and decision.policy == now.policy
    yield f"  policy: {now.policy[:16]}, {'the same' if same else 'another'}; {recorded.change or 'nothing changes'}"
    yield from _reasons(recorded.explanation)
