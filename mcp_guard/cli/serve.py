"""`mcp-guard serve`."""

from typing import TYPE_CHECKING

import click

from mcp_guard.cli.options import CLIENT, SUBJECT, parse_address
from mcp_guard.cli.output import Output, pass_output, print_error
from mcp_guard.model.errors import Unauthenticated, UsageError

if TYPE_CHECKING:
    from mcp_guard.build import Guard
    from mcp_guard.model.principal import Principal


@click.command()
@click.option("--stdio", is_flag=True, help="Serve one client on stdin and stdout (the default).")
@click.option("--http", "address", metavar="[HOST:PORT]", is_flag=False, flag_value="", help="Serve streamable HTTP.")
@click.option("--as", "subject", type=SUBJECT, help="Who acts over stdio (else identity.local.subject).")
@click.option("--client", type=CLIENT, help="The agent acting for them (else identity.local.client).")
@pass_output
def serve(output: Output, stdio: bool, address: str | None, subject: str | None, client: str | None) -> None:
    """Serve this home to MCP clients until it is told to stop.

    Over HTTP every request needs a bearer token, on loopback too; make one with `mcp-guard token create`. With --json
    the address is printed as {"url"}; over stdio stdout belongs to the protocol.
    """
    import asyncio

    if stdio and address is not None:
        raise UsageError("--stdio and --http exclude each other.")
    if address is not None and (subject or client):
        raise UsageError("--as and --client are for stdio.", hint="over HTTP the token says who acts")
    listen = parse_address(address) if address else None
    if address and listen is None:
        raise UsageError("--http takes HOST:PORT.", hint="for example --http 127.0.0.1:8765")
    if address is None:
        asyncio.run(_serve_stdio(output, subject, client))
    else:
        asyncio.run(_serve_http(output, listen))


async def _serve_stdio(output: Output, subject: str | None, client: str | None) -> None:
    from mcp_guard.build import open_guard
    from mcp_guard.kit.runtime import settle
    from mcp_guard.kit.signals import stop_on_signals
    from mcp_guard.server.run import serve_stdio

    home = output.load_home()
    if not home.settings.identity.local.allow:
        hint = "set identity.local.allow and subject in mcp-guard.yaml, or serve --http with tokens"
        raise Unauthenticated("Nobody may act here without a token.", hint=hint)
    async with stop_on_signals() as stop, open_guard(home, serving=True, verbosity=output.verbosity) as guard:
        _warn_of_observing(guard)

        def local() -> "Principal":
            return guard.declare(subject, client)

        _announce_visible(output, guard, local())
        settle()
        await serve_stdio(guard, local, stop)


async def _serve_http(output: Output, listen: tuple[str, int] | None) -> None:
    from mcp_guard.build import open_guard
    from mcp_guard.kit.runtime import settle
    from mcp_guard.kit.signals import stop_on_signals
    from mcp_guard.server.run import serve_http

    home = output.load_home()
    http = home.settings.server.http
    host, port = listen or (http.host, http.port)

    def announce(host: str, port: int) -> None:
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/mcp"
        if output.as_json:
            output.data({"url": url}, ())
        output.note(f"listening on {url}")

    listened = True
    async with stop_on_signals() as stop, open_guard(home, serving=True, verbosity=output.verbosity) as guard:
        _warn_of_observing(guard)
        allowed = frozenset(http.allowed_hosts)
        settle()
        try:
            await serve_http(guard, host, port, allowed_hosts=allowed, stop=stop, on_listening=announce)
        except SystemExit:  # how uvicorn says that it cannot listen
            listened = False
    if not listened:
        hint = "another program may be using the port; choose one with --http HOST:PORT"
        raise UsageError(f"cannot listen on {host}:{port}", hint=hint)


def _warn_of_observing(guard: "Guard") -> None:
    """Said also with --quiet: nobody may take a guard that lets everything through for one that guards."""
    from mcp_guard.build import observing

    if observed := guard.definition.catalog.observed:
        print_error(f"warning: {observing(observed)}")


def _announce_visible(output: Output, guard: "Guard", local: "Principal") -> None:
    visible, total = len(guard.visible_tools(local)), len(guard.definition.catalog.of("tool"))
    output.note(f"{local.subject} sees {visible} of {total} tools")
    if not visible:
        output.note("  hint: no policy row lets this subject list a tool; `mcp-guard policy check` says why")
