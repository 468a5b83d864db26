"""`mcp-guard policy …`."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from mcp_guard.cli.arguments import from_document
from mcp_guard.cli.options import ACT, CLIENT, SPENT, SUBJECT, TENANT, merged
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.cli.policy_cases import run_tests
from mcp_guard.cli.policy_confirm import confirm
from mcp_guard.cli.policy_explain import explain, say_beside
from mcp_guard.cli.policy_questions import diff, what_can, who_can
from mcp_guard.cli.policy_replay import replay

if TYPE_CHECKING:
    from mcp_guard.admin.what_if import Verdict
    from mcp_guard.model.decision import Act


@click.group()
def policy() -> None:
    """Check, lint, test and question the policy."""


for command in (run_tests, explain, who_can, what_can, diff, replay, confirm):
    policy.add_command(command)


@policy.command()
@click.argument("subject", type=SUBJECT)
@click.argument("tool")
@click.argument("arguments", default="{}", metavar="[ARGS]")
@click.option("--client", type=CLIENT, help="The agent (default: identity.local.client).")
@click.option("--tenant", type=TENANT, help="Default: the subject's tenant.")
@click.option("--act", type=ACT, help="Default: call, and audit for audit:records.")
@click.option("--seen", multiple=True, metavar="LABEL", help="A label of what was returned before; can be repeated.")
@click.option("--spent", type=SPENT, multiple=True, help="What was spent: usd_today=N, usd_month=N, or usd=N for both.")
@pass_output
def check(
    output: Output,
    *,
    subject: str,
    tool: str,
    arguments: str,
    client: str | None,
    tenant: str | None,
    act: "Act | None",
    seen: tuple[str, ...],
    spent: tuple[Mapping[str, int | float], ...],
) -> None:
    """What policy says if SUBJECT calls TOOL with ARGS (a JSON object), and which rows came close.

    TOOL is a tool, or a resource of the policy such as audit:records or guard:whoami. Nothing is executed or
    recorded; whatever the answer is, the exit status is 0.
    """
    from mcp_guard.admin.what_if import principal_of
    from mcp_guard.build import define

    given = from_document(arguments, "ARGS")
    definition = define(output.load_home())
    local = definition.home.settings.identity.local
    belongs = tenant or definition.directory.profile(subject).tenant or local.tenant
    principal = principal_of(definition.directory, subject, client or local.client, belongs)
    verdict = definition.what_if(frozenset(seen), merged(spent)).ask(principal, act, tool, given)
    output.data(verdict.as_dict(), _explain(verdict))
    say_beside(output, tool, verdict)


def _explain(verdict: "Verdict") -> list[str]:
    decision = verdict.decision
    lines = [f"{decision.effect.value} by {decision.rule}: {decision.reason}"]
    if then := decision.then.as_dict():
        lines.append(f"  then: {json.dumps(then)}")
    lines += [f"  near: {row['rule']} (line {row['line']}, {row['effect']}): {row['because']}" for row in verdict.near]
    return [*lines, f"  policy: {decision.policy[:16]}"]


@policy.command()
@pass_output
@click.pass_context
def lint(ctx: click.Context, output: Output) -> None:
    """Check the policy files; exit 3 if anything is wrong."""
    from mcp_guard.build import lint_policy

    problems = lint_policy(output.load_home())
    output.data([problem.as_dict() for problem in problems], (str(problem) for problem in problems))
    if not problems:
        output.note("no problems")
    if any(problem.severity == "error" for problem in problems):
        ctx.exit(3)
