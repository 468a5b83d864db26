"""`mcp-guard audit erase` and `reveal`: the values beside the log, for the people they belong to and those they prove
something to."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from mcp_guard.cli.options import SALT, SUBJECT_ON_RECORD
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp_guard.admin.erase import Erased
    from mcp_guard.admin.reveal import RevealAdmin
    from mcp_guard.audit.erasure import Wanted
    from mcp_guard.audit.reveal import Sealed

_LARGEST_VALUE = 16 * 1024 * 1024
_NO_MATCH = 4
_NUMBER = click.IntRange(0, 10**15)

_Found = TypeVar("_Found")


@click.command()
@click.option("--subject", type=SUBJECT_ON_RECORD, help="Everything kept of what this person or service did.")
@click.option("--call", metavar="ID", help="Everything kept of this call.")
@click.option("--field", nargs=2, type=(_NUMBER, str), metavar="N FIELD", help="One field of record N.")
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
        left = "erase again when they have ended, for what they leave"
        output.note(f"calls and tasks still running: {erased.open}; {left}")


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
        "names": erased.names,
        "tasks": erased.tasks,
        "results": erased.results,
        "connections": erased.connections,
        "decisions": erased.decisions,
        "open": erased.open,
        "noted": list(erased.noted),
        "dry_run": dry_run,
    }


def _beside(erased: "Erased") -> tuple[int, ...]:
    return erased.tasks, erased.results, erased.connections, erased.decisions


def _told(erased: "Erased", *, dry_run: bool) -> str:
    if not any((*_beside(erased), erased.fields, erased.names)):
        return "nothing of it is left to erase"
    done = "would be erased" if dry_run else "erased"
    where = "" if dry_run else f", on record as {', '.join(map(str, erased.noted))}"
    names = f" and {erased.names} pseudonyms' reading" if erased.names else ""
    tasks = f" and what {erased.tasks} tasks kept" if erased.tasks else ""
    results = f" and {erased.results} kept results" if erased.results else ""
    accounts = f" and {erased.connections} connections" if erased.connections else ""
    decisions = f" and their name beside {erased.decisions} decisions" if erased.decisions else ""
    beside = f"{tasks}{results}{accounts}{decisions}{names}"
    return f"{done}: {erased.fields} fields of {erased.records} records{beside}{where}"


@click.command()
@click.argument("n", type=_NUMBER)
@click.argument("field")
@click.option("--value", metavar="JSON|-", help="A value somebody shows; - reads it from standard input.")
@click.option("--salt", type=SALT, help="The salt shown with it; else the stored one is used.")
@click.option(
    "--export",
    "export",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.jsonl",
    help="Check against an exported log instead of this home's store. It must be verified separately.",
)
@pass_output
@click.pass_context
def reveal(
    ctx: click.Context,
    output: Output,
    *,
    n: int,
    field: str,
    value: str | None,
    salt: bytes | None,
    export: Path | None,
) -> None:
    """Show what FIELD of record N holds, with its salt; or, with --value, check a shown value; exit 4 if it differs.

    FIELD is args, result, why or ctx, or a sensitive part such as args/reason, whose value is never kept: somebody who
    knows it can show it. Whoever is given the value and its salt can check them against the record, and nobody else
    can guess it from there. Each use on a store is on record.
    """
    if value is None and (salt is not None or export is not None):
        raise UsageError("There is nothing to check.", hint="add --value JSON, or - to read it from standard input")
    if value is None:
        found = _on_store(output, lambda admin: admin.reveal(n, field))
        output.data(*_revealed(found))
        return
    data = _canonical(value)
    checked, good = _in_export(export, n, field, data, salt) if export else _checked(output, n, field, data, salt)
    output.data(checked.as_dict() | {"matches": good}, (_verdict(checked, good=good),))
    if not good:
        ctx.exit(_NO_MATCH)


def _canonical(text: str) -> bytes:
    """The bytes that were committed to, from JSON as somebody shows it."""
    from mcp_guard.kit import strict_json

    data = sys.stdin.buffer.read(_LARGEST_VALUE + 1) if text == "-" else text.encode()
    if len(data) > _LARGEST_VALUE:
        raise UsageError("The value is larger than any that is kept.")
    try:
        return strict_json.dumps(strict_json.loads(data))
    except strict_json.JsonError as error:
        raise UsageError(
            f"The value is not JSON: {error}.", hint="a text stands in quotes: --value '\"text\"'"
        ) from None


def _in_export(export: Path, n: int, field: str, data: bytes, salt: bytes | None) -> "tuple[Sealed, bool]":
    from mcp_guard.audit.reveal import from_export, sealed

    found = sealed(n, from_export(export, n), (), field)
    return found, found.opens_with(data, salt)


def _checked(output: Output, n: int, field: str, data: bytes, salt: bytes | None) -> "tuple[Sealed, bool]":
    return _on_store(output, lambda admin: admin.check(n, field, data, salt))


def _on_store(output: Output, use: "Callable[[RevealAdmin], Awaitable[_Found]]") -> _Found:
    import asyncio

    from mcp_guard.build import open_revealing

    home = output.load_recorded_home()

    async def carry_out() -> _Found:
        async with open_revealing(home) as admin:
            return await use(admin)

    return asyncio.run(carry_out())


def _revealed(found: "Sealed") -> tuple[dict[str, object], list[str]]:
    shown, lines = found.as_dict(), [f"record {found.n}, leaf {found.leaf}"]
    if found.value is not None:
        shown["value"] = json.loads(found.value)
        lines.append(f"{found.field}: {found.value.decode()}")
    else:
        lines.append(f"{found.field}: its value is not here; it was erased, or never kept because it is sensitive")
    if found.salt is not None:
        shown["salt"] = found.salt.hex()
        lines.append(f"salt: {found.salt.hex()}")
    return shown, lines


def _verdict(found: "Sealed", *, good: bool) -> str:
    said = "is" if good else "is NOT"
    return f"this {said} the {found.field} of record {found.n} (leaf {found.leaf})"
