"""`mcp-guard token …`."""

import asyncio

import click

from mcp_guard.cli.output import Output, pass_output
from mcp_guard.kit.clock import SystemClock, as_datetime


def _when(us: object) -> str:
    return as_datetime(int(str(us))).isoformat(timespec="seconds") if us is not None else ""


@click.group()
def token() -> None:
    """Create, list and revoke bearer tokens."""


@token.command("create")
@click.argument("subject")
@click.option("--client", default="agent:remote", show_default=True, help="The agent that will present the token.")
@click.option("--tenant", help="Default: the subject's tenant in policy/principals.yaml.")
@click.option("--scope", "scopes", multiple=True, help="Narrow the subject's scopes; repeatable.")
@click.option("--expires", default="90d", show_default=True, help="Life time, for example 12h or 90d.")
@pass_output
def create(
    output: Output, subject: str, client: str, tenant: str | None, scopes: tuple[str, ...], expires: str
) -> None:
    """Make a token for SUBJECT (user:… or service:…). It is shown once; only a hash is kept."""
    from mcp_guard.admin.tokens import Wish
    from mcp_guard.build import open_tokens

    wish = Wish(subject, client, tenant, frozenset(scopes) if scopes else None, expires)

    async def issue() -> tuple[str, dict[str, object]]:
        async with open_tokens(output.load_home()) as admin:
            text, record = await admin.create(wish)
            return text, record.as_dict()

    text, record = asyncio.run(issue())
    shown = {
        "token": text,
        "id": record["id"],
        "subject": subject,
        "expires_at": _when(record["expires_at"]),
    }
    output.data(shown, (text,))
    output.note(f"token {record['id']} for {subject} expires {shown['expires_at']}; it is not shown again")


@token.command("list")
@pass_output
def list_tokens(output: Output) -> None:
    """Every token of the store, without its secret."""
    from mcp_guard.build import open_tokens

    async def fetch() -> list[dict[str, object]]:
        async with open_tokens(output.load_home()) as admin:
            return [record.as_dict() for record in await admin.list()]

    records = asyncio.run(fetch())
    now = SystemClock().now_us()
    for record in records:
        record["state"] = _state(record, now)
        for name in ("created_at", "expires_at", "revoked_at"):
            record[name] = _when(record[name]) or None
    columns = ("id", "subject", "client", "tenant", "scopes", "expires_at", "state")
    cells = [[_cell(record[name]) for name in columns] for record in records]
    output.table(records, columns, cells)


def _state(record: dict[str, object], now: int) -> str:
    if record["revoked_at"] is not None:
        return "revoked"
    return "valid" if int(str(record["expires_at"])) > now else "expired"


def _cell(value: object) -> object:
    return " ".join(value) if isinstance(value, list) else value


@token.command("revoke")
@click.argument("identifier")
@pass_output
def revoke(output: Output, identifier: str) -> None:
    """Refuse the token IDENTIFIER from the next request on, in every process."""
    from mcp_guard.build import open_tokens

    async def carry_out() -> None:
        async with open_tokens(output.load_home()) as admin:
            await admin.revoke(identifier)

    asyncio.run(carry_out())
    output.data({"id": identifier, "revoked": True}, (f"revoked {identifier}",))
