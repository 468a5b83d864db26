"""`mcp-guard token …`."""

from typing import TYPE_CHECKING

import click

from mcp_guard.cli.options import CLIENT, SUBJECT, TENANT
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.kit.clock import SystemClock, as_datetime

if TYPE_CHECKING:
    from mcp_guard.identity.token import TokenRecord

_COLUMNS = ("id", "subject", "client", "tenant", "scopes", "expires_at", "state")


@click.group()
def token() -> None:
    """Create, list and revoke bearer tokens."""


@token.command("create")
@click.argument("subject", type=SUBJECT)
@click.option(
    "--client", type=CLIENT, default="agent:remote", show_default=True, help="The agent that will present the token."
)
@click.option("--tenant", type=TENANT, help="Default: the subject's tenant in policy/principals.yaml.")
@click.option("--scope", "scopes", multiple=True, help="Narrow the subject's scopes; repeatable.")
@click.option("--expires", default="90d", show_default=True, help="Life time, for example 12h or 90d.")
@pass_output
def create(
    output: Output, *, subject: str, client: str, tenant: str | None, scopes: tuple[str, ...], expires: str
) -> None:
    """Make a token for SUBJECT (user:… or service:…). It is shown once; only a hash is kept."""
    import asyncio

    from mcp_guard.admin.tokens import Wish
    from mcp_guard.build import load_directory, open_tokens

    home = output.load_home()
    wish = Wish(subject, client, tenant, frozenset(scopes) if scopes else None, expires)

    async def issue() -> "tuple[str, TokenRecord]":
        async with open_tokens(home, load_directory(home)) as admin:
            return await admin.create(wish)

    text, record = asyncio.run(issue())
    until = _when(record.expires_at)
    output.data({"token": text, "id": record.id, "subject": subject, "expires_at": until}, (text,))
    output.note(f"token {record.id} for {subject} expires {until}; it is not shown again")


@token.command("list")
@pass_output
def list_tokens(output: Output) -> None:
    """Every token of the store, without its secret."""
    import asyncio

    from mcp_guard.build import open_token_store

    home = output.load_recorded_home()

    async def fetch() -> "list[TokenRecord]":
        async with open_token_store(home) as tokens:
            return await tokens.all()

    now = SystemClock().now_us()
    rows = [_row(record, now) for record in asyncio.run(fetch())]
    output.table(rows, _COLUMNS, [[_cell(row[name]) for name in _COLUMNS] for row in rows])


@token.command("revoke")
@click.argument("identifier", metavar="ID")
@pass_output
def revoke(output: Output, identifier: str) -> None:
    """Refuse the token ID from the next request on, in every process.

    Works while tools, policy or principals of the home are broken.
    """
    import asyncio

    from mcp_guard.build import open_tokens
    from mcp_guard.identity.directory import load as directory

    home = output.load_recorded_home()

    async def carry_out() -> None:
        async with open_tokens(home, directory(None)) as admin:
            await admin.revoke(identifier)

    asyncio.run(carry_out())
    output.data({"id": identifier, "revoked": True}, (f"revoked {identifier}",))


def _row(record: "TokenRecord", now: int) -> dict[str, object]:
    times = {name: _when(getattr(record, name)) for name in ("created_at", "expires_at", "revoked_at")}
    return {**record.as_dict(), **times, "state": _state(record, now)}


def _state(record: "TokenRecord", now: int) -> str:
    if record.revoked_at is not None:
        return "revoked"
    return "valid" if record.expires_at > now else "expired"


def _when(us: int | None) -> str | None:
    return None if us is None else as_datetime(us).isoformat(timespec="seconds")


def _cell(value: object) -> object:
    return " ".join(value) if isinstance(value, list) else value
