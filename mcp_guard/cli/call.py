"""`mcp-guard call TOOL`."""

import asyncio
import os
from collections.abc import Sequence

import click

from mcp_guard.cli.output import Output, pass_output
from mcp_guard.kit.strict_json import JsonError, loads
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import UsageError


@click.command()
@click.argument("tool")
@click.argument("pairs", nargs=-1, metavar="[k=v …]")
@click.option("--args", "document", help="The arguments as one JSON object.")
@click.option("--as", "subject", help="Who acts (where local identity is allowed).")
@click.option("--client", help="The agent acting for them.")
@click.option("--token", help="A bearer token (else MCP_GUARD_TOKEN).")
@pass_output
@click.pass_context
def call(
    ctx: click.Context,
    output: Output,
    tool: str,
    pairs: Sequence[str],
    document: str | None,
    subject: str | None,
    client: str | None,
    token: str | None,
) -> None:
    """Carry out one governed call of TOOL and print its result.

    In k=v a value is JSON where it reads as JSON, else text: amount=40 is a number, order_id=ORD-1001 a string.
    """
    arguments = _arguments(pairs, document)
    answer = asyncio.run(_call(output, tool, arguments, subject, client, token or os.environ.get("MCP_GUARD_TOKEN")))
    output.data(_on_the_wire(answer), (answer.text,))
    ctx.exit(answer.exit_code)


async def _call(
    output: Output,
    tool: str,
    arguments: dict[str, object],
    subject: str | None,
    client: str | None,
    token: str | None,
) -> Answer:
    from mcp_guard.build import open_guard

    async with open_guard(output.load_home(), serving=False, verbosity=output.verbosity) as guard:
        principal = guard.authenticate(token) if token and not subject else guard.declare(subject, client)
        return await guard.call(principal, ToolCall(guard.new_call_id(), tool, arguments))


def _arguments(pairs: Sequence[str], document: str | None) -> dict[str, object]:
    if document is not None:
        if pairs:
            raise UsageError("Give either k=v pairs or --args.")
        value = _json(document)
        if not isinstance(value, dict):
            raise UsageError("--args takes one JSON object.", hint="""for example --args '{"order_id": "ORD-1001"}'""")
        return value
    found: dict[str, object] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name or name in found:
            raise UsageError("Arguments are written k=v, each once.", hint="use --args for nested values")
        found[name] = _value(text)
    return found


def _json(text: str) -> object:
    try:
        return loads(text.encode("utf-8", "surrogateescape"))
    except JsonError as error:
        raise UsageError(f"--args is not JSON: {error}.") from None


def _value(text: str) -> object:
    try:
        return loads(text.encode("utf-8", "surrogateescape"))
    except JsonError:
        return text


def _on_the_wire(answer: Answer) -> dict[str, object]:
    result: dict[str, object] = {
        "content": [{"type": "text", "text": answer.text}],
        "structuredContent": dict(answer.structured),
        "isError": answer.is_error,
    }
    if answer.receipt is not None:
        result["_meta"] = {"mcp-guard/receipt": answer.receipt.as_dict()}
    return result
