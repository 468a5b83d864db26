"""`mcp-guard serve`."""

import asyncio
from typing import TYPE_CHECKING

import click

from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.build import Guard


@click.command()
@click.option("--stdio", is_flag=True, help="Serve one client on stdin and stdout (the default).")
@click.option("--http", "address", metavar="[HOST:PORT]", is_flag=False, flag_value="", help="Serve streamable HTTP.")
@click.option("--as", "subject", help="Who acts over stdio (else identity.local.subject).")
@click.option("--client", help="The agent acting for them (else identity.local.client).")
@pass_output
def serve(output: Output, stdio: bool, address: str | None, subject: str | None, client: str | None) -> None:
    """Serve this home to MCP clients until it is told to stop.

    Over HTTP every request needs a bearer token, on loopback too; make one with `mcp-guard token create`.
    """
    if stdio and address is not None:
        raise UsageError("--stdio and --http exclude each other.")
    if address is not None and (subject or client):
        raise UsageError("--as and --client are for stdio.", hint="over HTTP the token says who acts")
    asyncio.run(_serve(output, address, subject, client))


async def _serve(output: Output, address: str | None, subject: str | None, client: str | None) -> None:
    from mcp_guard.build import open_guard
    from mcp_guard.server.run import serve_http, serve_stdio, stop_on_signals

    home = output.load_home()
    async with stop_on_signals() as stop, open_guard(home, serving=True, verbosity=output.verbosity) as guard:
        if address is None:
            local = guard.declare(subject, client)
            _announce_visible(output, guard, local.subject, len(guard.visible_tools(local)))
            await serve_stdio(guard, local, stop)
            return
        http = home.settings.server.http
        host, port = _parse(address, http.host, http.port)
        await serve_http(
            guard,
            host,
            port,
            allowed_hosts=frozenset(http.allowed_hosts),
            stop=stop,
            on_listening=lambda host, port: output.note(f"listening on http://{host}:{port}/mcp"),
        )


def _announce_visible(output: Output, guard: "Guard", subject: str, visible: int) -> None:
    total = len(guard.definition.catalog)
    output.note(f"{subject} sees {visible} of {total} tools")
    if not visible:
        output.note("  hint: no policy row lets this subject list a tool; `mcp-guard policy check` says why")


def _parse(address: str, default_host: str, default_port: int) -> tuple[str, int]:
    if not address:
        return default_host, default_port
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535 or not host:
        raise UsageError("--http takes HOST:PORT.", hint="for example --http 127.0.0.1:8765")
    return host.strip("[]"), int(port)
