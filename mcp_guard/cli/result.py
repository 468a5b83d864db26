"""`mcp-guard result ID`: a result that was too large for the answer of its call."""

from typing import TYPE_CHECKING

import click

from mcp_guard.cli.opened import with_guard
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.cli.who import Who, acting
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.build import Guard


@click.command()
@click.argument("identifier", metavar="ID")
@click.option("--page", type=click.IntRange(1, 999_999), help="Only this page of it.")
@acting
@pass_output
def result(
    output: Output, *, identifier: str, page: int | None, subject: str | None, client: str | None, token: str | None
) -> None:
    """Print the JSON text of a result that was kept, to whoever made the call.

    ID is what `call` says, or result://ID. Each page that is read is on record. With --json a page is printed as MCP
    clients read it, with its number and that of all pages.
    """
    from mcp_guard.model.kept import SCHEME, is_id

    name = identifier.removeprefix(f"{SCHEME}://")
    if not is_id(name):
        raise UsageError("This is no id of a result.", hint="`call` says it where a result is not complete")
    if output.as_json and page is None:
        page = 1

    async def ask(guard: "Guard") -> list[dict[str, object]]:
        who = await Who(subject, client, token).principal(guard)
        found = [dict(await guard.read_result(who, name, page or 1))]
        while page is None and "next" in found[-1]:
            found.append(dict(await guard.read_result(who, name, len(found) + 1)))
        return found

    pages = with_guard(output, ask)
    output.data(pages[0], ("".join(str(one["part"]) for one in pages),))
