"""`mcp-guard call TOOL`."""

from collections.abc import Sequence

import click

from mcp_guard.cli.arguments import from_document, from_pairs
from mcp_guard.cli.output import Output, pass_output, print_error
from mcp_guard.cli.who import Who, acting
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import UsageError
from mcp_guard.model.kept import kept_in

INTERRUPTED = 130


@click.command()
@click.argument("tool")
@click.argument("pairs", nargs=-1, metavar="[k=v …]")
@click.option("--args", "document", help="The arguments as one JSON object.")
@acting
@click.option("--dry-run", is_flag=True, help="Say what would be decided; nothing is executed, and that is recorded.")
@pass_output
@click.pass_context
def call(
    ctx: click.Context,
    output: Output,
    *,
    tool: str,
    pairs: Sequence[str],
    document: str | None,
    subject: str | None,
    client: str | None,
    token: str | None,
    dry_run: bool,
) -> None:
    """Carry out one governed call of TOOL and print its result.

    In k=v a value is JSON where it reads as JSON, else text: amount=40 is a number, order_id=ORD-1001 a text,
    and so is code='"40"', with both quotes.
    With --json the result is that of MCP's tools/call: content, structuredContent, isError, _meta.
    A dry run whose arguments are acceptable ends with 0, whatever the decision.
    """
    import asyncio

    arguments = _arguments(pairs, document)
    answer, interrupted = asyncio.run(_call(output, tool, arguments, Who(subject, client, token), dry_run=dry_run))
    output.data(_on_the_wire(answer), () if answer.is_error else (answer.text,))
    if kept := kept_in(answer.structured):
        rest = f"mcp-guard result {kept['id']}"
        output.note(
            f"not complete: this is the beginning of {kept['bytes']} bytes; `{rest}`, as the same caller, prints all"
        )
    if answer.is_error and not output.as_json:
        _complain(answer)
    ctx.exit(INTERRUPTED if interrupted else answer.exit_code)


def _complain(answer: Answer) -> None:
    """A refusal for a person: its code, what is wrong, what to do."""
    from mcp_guard.model.codes import CODES

    guard = answer.structured["guard"]
    assert isinstance(guard, dict)
    rule = f" (rule {guard['rule']})" if "rule" in guard else ""
    print_error(f"error[{guard['code']}]: {guard['reason']}{rule}\n  hint: {CODES[guard['code']].advice}")


async def _call(
    output: Output, tool: str, arguments: dict[str, object], who: Who, *, dry_run: bool
) -> tuple[Answer, bool]:
    import asyncio

    from mcp_guard.build import open_guard
    from mcp_guard.kit.signals import stop_on_signals

    home = output.load_home()
    async with stop_on_signals() as stop, open_guard(home, serving=False, verbosity=output.verbosity) as guard:
        wanted = ToolCall(guard.new_call_id(), tool, arguments, dry_run="yes" if dry_run else "no")
        calling = asyncio.ensure_future(guard.call(await who.principal(guard), wanted))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({calling, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            output.note(
                "interrupted: the call is being ended; a second interrupt leaves it to the next server to close"
            )
            await guard.drain()
        stopping.cancel()
        return await calling, stop.is_set()


def _arguments(pairs: Sequence[str], document: str | None) -> dict[str, object]:
    if document is None:
        return from_pairs(pairs)
    if pairs:
        raise UsageError("Give either k=v pairs or --args.")
    return from_document(document, "--args")


def _on_the_wire(answer: Answer) -> dict[str, object]:
    """A `CallToolResult` of MCP (`_meta` only where the outcome is on record)."""
    result, meta = answer.on_the_wire(), answer.meta()
    return result | {"_meta": meta} if meta else result
