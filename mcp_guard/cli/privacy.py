"""`mcp-guard audit erase`: what is owed to the people whose data stands beside the log."""

from typing import TYPE_CHECKING

import click

from mcp_guard.cli.options import SUBJECT
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.admin.erase import Erased
    from mcp_guard.audit.erasure import Wanted


@click.command()
@click.option("--subject", type=SUBJECT, help="Everything kept of what this person or service did.")
@click.option("--call", metavar="ID", help="Everything kept of this call.")
@click.option("--field", nargs=2, type=(click.IntRange(0), str), metavar="N FIELD", help="One field of record N.")
@click.option("--reason", required=True, help="Why, in one line; recorded.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@pass_output
def erase(
    output: Output,
    *,
    subject: str | None,
    call: str | None,
    field: tuple[int, str] | None,
    reason: str,
    dry_run: bool,
) -> None:
    """Erase values and salts that stand beside records. The records themselves stay and still verify.

    Gone from the database and its write-ahead log, also while a server runs on it; not from backups, exports or
    other copies. Each step is on record: what was asked, how much went, why, and never what it was.
    """
    wanted = _wanted(subject, call, field)
    erased = _erase(output, wanted, reason, dry_run=dry_run)
    output.data(_shown(wanted, erased, dry_run=dry_run), (_told(erased, dry_run=dry_run),))
    if erased.open:
        output.note(f"calls still running: {erased.open}; erase again when they have ended, for what they leave")


def _wanted(subject: str | None, call: str | None, field: tuple[int, str] | None) -> "Wanted":
    from mcp_guard.audit.erasure import Wanted

    given: list[Wanted] = []
    if subject is not None:
        given.append(Wanted("subject", subject))
    if call is not None:
        given.append(Wanted("call", call))
    if field is not None:
        given.append(Wanted("field", field[1], field[0]))
    if len(given) != 1:
        raise UsageError("Say what is to be erased, one thing at a time.", hint="--subject, --call or --field N FIELD")
    return given[0]


def _erase(output: Output, wanted: "Wanted", reason: str, *, dry_run: bool) -> "Erased":
    import asyncio

    from mcp_guard.build import open_erasing

    home = output.load_recorded_home()

    async def carry_out() -> "Erased":
        async with open_erasing(home) as admin:
            return await admin.erase(wanted, reason, dry_run=dry_run)

    return asyncio.run(carry_out())


def _shown(wanted: "Wanted", erased: "Erased", *, dry_run: bool) -> dict[str, object]:
    return {
        **wanted.as_state(),
        "records": erased.records,
        "fields": erased.fields,
        "open": erased.open,
        "noted": list(erased.noted),
        "dry_run": dry_run,
    }


def _told(erased: "Erased", *, dry_run: bool) -> str:
    if not erased.fields:
        return "nothing of it is left to erase"
    done = "would be erased" if dry_run else "erased"
    where = "" if dry_run else f", on record as {', '.join(map(str, erased.noted))}"
    return f"{done}: {erased.fields} fields of {erased.records} records{where}"
