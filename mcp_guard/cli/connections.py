"""`mcp-guard connections …`: accounts of people at upstreams."""

from typing import TYPE_CHECKING

import click

from mcp_guard.cli.options import SUBJECT
from mcp_guard.cli.output import Output, pass_output, print_error
from mcp_guard.cli.who import Who, acting
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_guard.admin.connections import AtIssuer
    from mcp_guard.build import Guard
    from mcp_guard.identity.oauth.connection import Connection

_COLUMNS = ("id", "subject", "tenant", "upstream", "issuer", "connected_at", "state")
_AT_ISSUER = {
    "revoked": "its issuer revoked the tokens too",
    "not_offered": "its issuer has no way to revoke tokens; they count there until they expire",
    "failed": "its issuer did not say that it revoked the tokens; take the access back there",
    "unknown": "its issuer was not asked; take the access back there",
}


@click.group()
def connections() -> None:
    """Connect, list and revoke accounts of people at upstreams."""


@connections.command("connect")
@click.argument("upstream")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where the browser comes back to (else any).")
@click.option("--no-browser", is_flag=True, help="Only print the link.")
@acting
@pass_output
def connect(
    output: Output,
    *,
    upstream: str,
    port: int,
    no_browser: bool,
    subject: str | None,
    client: str | None,
    token: str | None,
) -> None:
    """Connect your account at UPSTREAM, with a browser on this machine."""
    import asyncio

    connection = asyncio.run(_connect(output, upstream, port, Who(subject, client, token), no_browser))
    row = {"id": connection.id, "upstream": connection.upstream, "subject": connection.subject}
    output.data(row, (f"connected {connection.subject} to {connection.upstream} ({connection.id})",))


@connections.command("list")
@click.option("--subject", type=SUBJECT, help="Only theirs.")
@pass_output
def list_connections(output: Output, *, subject: str | None) -> None:
    """Every connection of the store, without its tokens."""
    import asyncio

    from mcp_guard.build import open_connection_store

    home = output.load_recorded_home()

    async def fetch() -> "Sequence[Connection]":
        async with open_connection_store(home) as store:
            return await store.all(subject)

    rows = [_row(found) for found in asyncio.run(fetch())]
    output.table(rows, _COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])


@connections.command("revoke")
@click.argument("name", metavar="ID|UPSTREAM")
@click.option("--subject", type=SUBJECT, help="Whose, where an upstream is named.")
@pass_output
def revoke(output: Output, *, name: str, subject: str | None) -> None:
    """End a connection: here at once, and at its issuer where that offers it (RFC 7009).

    Works while tools, policy or principals of the home are broken.
    """
    import asyncio

    from mcp_guard.build import open_connections

    home = output.load_recorded_home()

    async def carry_out() -> "tuple[Connection, AtIssuer]":
        async with open_connections(home) as admin:
            return await admin.revoke(name, subject)

    found, at_issuer = asyncio.run(carry_out())
    row = {"id": found.id, "upstream": found.upstream, "subject": found.subject, "revoked": True, "issuer": at_issuer}
    output.data(row, (f"revoked {found.id}; {_AT_ISSUER[at_issuer]}",))


async def _connect(output: Output, upstream: str, port: int, who: Who, no_browser: bool) -> "Connection":
    from mcp_guard.build import open_guard, specs_of

    home = output.load_home()
    specs = specs_of(home, strict=True)
    if upstream not in specs:
        known = ", ".join(sorted(specs)) or "none"
        raise UsageError("No manifest names an upstream like this with auth: oauth.", hint=f"there are: {known}")
    async with open_guard(home, serving=False, verbosity=output.verbosity) as guard:
        guard.consenting.spec = specs.get  # also of servers of which nothing is locked yet
        return await _wait(guard, upstream, port, who, no_browser)


async def _wait(guard: "Guard", upstream: str, port: int, who: Who, no_browser: bool) -> "Connection":
    """Show the pages on a loopback port (RFC 8252 section 7.3) until the account is connected or the link too old."""
    import asyncio

    from mcp_guard.kit.signals import stop_on_signals
    from mcp_guard.server import listening
    from mcp_guard.server.consent import ConsentPages

    consenting, spec = guard.consenting, guard.consenting.spec(upstream)
    principal = await who.principal(guard)
    assert spec is not None, "looked up before"
    done: list[Connection] = []
    asked: set[asyncio.Task[None]] = set()
    async with stop_on_signals() as stop:

        async def ask() -> None:
            link = await consenting.link(principal, spec)
            assert link is not None, "it listens"
            print_error(f"open this in a browser on this machine, as {principal.subject}: {link.url}")
            if not no_browser:
                await asyncio.to_thread(_open_browser, link.url)

        def listens(host: str, found: int) -> None:
            consenting.base = f"http://{host}:{found}"
            asked.add(asyncio.get_running_loop().create_task(ask()))

        def connected(connection: "Connection") -> None:
            done.append(connection)
            stop.set()

        async def nothing() -> None:
            """Nothing is under way that would have to end."""

        def refused(why: str) -> None:
            print_error(f"the browser was turned away ({why})")

        pages = ConsentPages(consenting, guard.name, refused, connected)
        try:
            async with asyncio.timeout(consenting.link_us / 1_000_000 + 600):
                await listening.serve(pages, "127.0.0.1", port, on_listening=listens, stop=stop, drain=nothing)
        except TimeoutError:
            pass
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
    if not done:
        raise UsageError("Nothing was connected.", hint="run the command again, and finish in the browser it opens")
    return done[0]


def _open_browser(url: str) -> None:
    import webbrowser

    webbrowser.open(url)


def _row(found: "Connection") -> dict[str, object]:
    return {
        "id": found.id,
        "subject": found.subject,
        "tenant": found.tenant,
        "upstream": found.upstream,
        "issuer": found.issuer,
        "resource": found.resource,
        "connected_at": as_datetime(found.created_at).isoformat(timespec="seconds"),
        "renewals": found.version,
        "state": "connected" if found.tokens.access else "broken",
    }
