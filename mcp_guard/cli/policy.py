"""`mcp-guard policy …`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcp_guard.cli.output import Output, pass_output
from mcp_guard.kit.strict_json import JsonError, loads
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.admin.what_if import Verdict
    from mcp_guard.model.decision import Act


@click.group()
def policy() -> None:
    """Check, lint and test the policy."""


@policy.command()
@click.argument("subject")
@click.argument("tool")
@click.argument("arguments", default="{}", metavar="[ARGS]")
@click.option("--client", help="The agent (default: identity.local.client).")
@click.option("--tenant", help="Default: the subject's tenant.")
@click.option("--act", type=click.Choice(["list", "call", "approve", "task", "audit"]), default="call", show_default=True)
@pass_output
def check(
    output: Output, subject: str, tool: str, arguments: str, client: str | None, tenant: str | None, act: "Act"
) -> None:
    """What policy says if SUBJECT calls TOOL with ARGS (a JSON object), and which rows came close."""
    from mcp_guard.admin.what_if import principal_of
    from mcp_guard.build import define

    definition = define(output.load_home())
    local = definition.home.settings.identity.local
    belongs = tenant or definition.directory.profile(subject).tenant or local.tenant
    principal = principal_of(definition.directory, subject, client or local.client, belongs)
    verdict = definition.what_if().ask(principal, act, tool, _object(arguments))
    output.data(verdict.as_dict(), _explain(verdict))


def _explain(verdict: "Verdict") -> list[str]:
    shown = verdict.as_dict()
    lines = [f"{shown['effect']} by {shown['rule']}: {shown['reason']}"]
    if shown["then"]:
        lines.append(f"  then: {json.dumps(shown['then'])}")
    near = shown["near"]
    assert isinstance(near, list)
    lines += [f"  near: {row['rule']} (line {row['line']}, {row['effect']}): {row['because']}" for row in near]
    return [*lines, f"  policy: {str(shown['policy'])[:16]}"]


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


@policy.command("test")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@pass_output
@click.pass_context
def run_tests(ctx: click.Context, output: Output, files: tuple[Path, ...]) -> None:
    """Run the policy tests of the home, or those in FILES; exit 4 if one fails."""
    from mcp_guard.build import define, run_policy_cases

    results = run_policy_cases(define(output.load_home()), [file.absolute() for file in files])
    rows = [result.as_dict() for result in results]
    failed = [result for result in results if not result.passed]
    lines = [str(result) for result in failed] + [f"{len(results) - len(failed)} passed, {len(failed)} failed"]
    output.data(rows, lines)
    if failed or not results:
        ctx.exit(4)


def _object(text: str) -> dict[str, object]:
    try:
        value = loads(text.encode("utf-8", "surrogateescape"))
    except JsonError as error:
        raise UsageError(f"ARGS is not JSON: {error}.", hint="""for example '{"amount": 40}'""") from None
    if not isinstance(value, dict):
        raise UsageError("ARGS is one JSON object.", hint="""for example '{"amount": 40}'""")
    return value
