"""`mcp-guard policy test`: the policy tests of a home, and what they cover."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcp_guard.cli.output import Output, pass_output

if TYPE_CHECKING:
    from mcp_guard.policy.coverage import Coverage

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("test")
@click.argument("files", nargs=-1, metavar="[FILE …]", type=_FILE)
@click.option("--coverage", "wants_coverage", is_flag=True, help="Also say which rows no test shows at work.")
@click.option(
    "--fail-under", type=click.IntRange(0, 100), metavar="PERCENT", help="Exit 4 below that coverage; with --coverage."
)
@click.option("--junit", type=_FILE, metavar="FILE", help="Also write the results to FILE as JUnit XML.")
@pass_output
@click.pass_context
def run_tests(
    ctx: click.Context,
    output: Output,
    *,
    files: tuple[Path, ...],
    wants_coverage: bool,
    fail_under: int | None,
    junit: Path | None,
) -> None:
    """Run the policy tests of the home, or those in FILES; exit 4 if one fails or there is none.

    With --json the results are a list; with coverage they are {"results": […], "coverage": {…}}. A row is covered
    where a decision was made of it, alone or together with others of its effect.
    """
    from mcp_guard.build import cover_policy, define, run_policy_cases

    definition = define(output.load_home())
    results = run_policy_cases(definition, [file.absolute() for file in files])
    found = cover_policy(definition, results) if wants_coverage or fail_under is not None else None
    if junit is not None:
        from mcp_guard.cli.junit import write

        write(junit, results)
    failed = [result for result in results if not result.passed]
    lines = [str(result) for result in failed] + [f"{len(results) - len(failed)} passed, {len(failed)} failed"]
    shown = [result.as_dict() for result in results]
    if found is None:
        output.data(shown, lines)
    else:
        rules = definition.home.settings.policy.rules
        output.data({"results": shown, "coverage": found.as_dict()}, [*lines, *_coverage(found, rules)])
    if not results:
        output.note("no tests found; policy.tests in mcp-guard.yaml says where they are")
    if found is not None and fail_under is not None and not found.reaches(fail_under):
        output.note(f"the coverage is below {fail_under} %")
        ctx.exit(4)
    if failed or not results:
        ctx.exit(4)


def _coverage(found: "Coverage", rules: str) -> Iterator[str]:
    yield from (f"{rules}:{row.line}: no test shows {row.id} at work" for row in found.uncovered)
    yield f"{found.covered} of {found.rows} rows covered ({found.as_dict()['percent']} %)"
