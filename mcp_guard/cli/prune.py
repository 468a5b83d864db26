"""`mcp-guard audit prune`: what is old enough leaves the store."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcp_guard.cli.options import AGE, MOMENT, WITNESS_KEY
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.admin.prune import Pruned, Until
    from mcp_guard.config.home import Home
    from mcp_guard.model.note import VerifierKey


@click.command()
@click.option("--before", type=MOMENT, help="Records older than this: 2026-01-05T12:00:00Z, or how long ago: 400d.")
@click.option("--keep", type=AGE, metavar="400d", help="Records older than this (default: audit.retention).")
@click.option("--archive", type=click.Path(path_type=Path), metavar="DIR", help="Where to (default: audit.archive).")
@click.option("--discard", is_flag=True, help="Keep no archive: the records are gone for good.")
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    type=WITNESS_KEY,
    metavar="VKEY",
    help="A witness to trust (default: audit.anchors).",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@pass_output
def prune(
    output: Output,
    *,
    before: int | None,
    keep: int | None,
    archive: Path | None,
    discard: bool,
    witnesses: "tuple[VerifierKey, ...]",
    dry_run: bool,
) -> None:
    """Move the oldest records, and remove the values beside them for good, once nobody needs them here.

    Only what a trusted witness on another machine has acknowledged, what is not on legal hold, and no open intent; only
    from a log that verifies, and in whole tiles of 256 records. The log verifies as before, from its cut on; together
    with the archive, from its first record on. Values are never archived.
    """
    if before is not None and keep is not None:
        raise UsageError("Say how far in one way.", hint="--before or --keep")
    if archive is not None and discard:
        raise UsageError("Say where the records go.", hint="--archive or --discard")
    home = output.load_recorded_home()
    target = None if discard else archive or home.archive
    trusted = witnesses or home.settings.audit.witnesses
    done = _prune(home, _until(home, before, keep), target, trusted, dry_run=dry_run)
    output.data(_shown(done, target, dry_run=dry_run), (_told(done, target, dry_run=dry_run),))


def due(output: Output) -> dict[str, object]:
    """What `audit status` says of pruning."""
    from mcp_guard.admin.prune import due as records_due
    from mcp_guard.kit.clock import SystemClock

    home = output.load_recorded_home()
    return records_due(home.store, _until(home, None, None).keep or 0, SystemClock().now_us())


def _until(home: "Home", before: int | None, keep: int | None) -> "Until":
    from mcp_guard.admin.prune import Until
    from mcp_guard.kit.units import seconds

    if before is not None:
        return Until(before=before)
    age = seconds(home.settings.audit.retention) if keep is None else keep
    return Until(keep=int(age * 1_000_000))


def _prune(
    home: "Home", until: "Until", target: Path | None, witnesses: "tuple[VerifierKey, ...]", *, dry_run: bool
) -> "Pruned":
    import asyncio

    from mcp_guard.build import open_pruning

    async def carry_out() -> "Pruned":
        async with open_pruning(home, witnesses) as admin:
            return await admin.prune(until, target, dry_run=dry_run)

    return asyncio.run(carry_out())


def _shown(done: "Pruned", target: Path | None, *, dry_run: bool) -> dict[str, object]:
    return {
        "from": done.first,
        "to": done.end,
        "due": done.due,
        "anchored": done.anchored,
        "archive": None if target is None else str(target),
        "segments": list(done.segments),
        "noted": list(done.noted),
        "dry_run": dry_run,
    }


def _told(done: "Pruned", target: Path | None, *, dry_run: bool) -> str:
    if done.first == done.end:
        return "nothing is old enough to be pruned"
    where = "discarded" if target is None else f"in {target}"
    if dry_run:
        goes = "discarded" if target is None else f"moved to {target}"
        return f"records {done.first} to {done.end - 1} would be {goes}"
    return f"pruned: records {done.first} to {done.end - 1}, {where}, on record as {', '.join(map(str, done.noted))}"
