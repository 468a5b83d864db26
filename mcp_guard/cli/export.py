"""`mcp-guard audit export`: the log, or some of it, for auditors, spreadsheets and whoever collects events."""

import sys
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from mcp_guard.cli.filters import filtering, filters_of, within
from mcp_guard.cli.output import Output, pass_output, printable
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from mcp_guard.admin.export import Request

_FORMATS = ("jsonl", "ocsf", "csv", "parquet")


@click.command()
@click.option("--format", "form", default="jsonl", show_default=True, type=click.Choice(_FORMATS), help="How.")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="Write it there instead of to stdout.")
@click.option(
    "--checkpoint", type=click.Path(path_type=Path), metavar="FILE", help="Write the newest signed checkpoint there."
)
@click.option("--with-values", is_flag=True, help="Also the values beside the records; on record as a read.")
@filtering
@within
@pass_output
def export(
    output: Output, /, form: str, target: Path | None, checkpoint: Path | None, with_values: bool, **filters: Any
) -> None:
    """Write the log, oldest record first, also while it is being written.

    jsonl is the stored lines byte for byte, which is what an auditor verifies, and with --checkpoint what they hold it
    against. ocsf is one event a line, of class API Activity (6003). csv and parquet are tables of the same columns;
    parquet needs mcp-guard[parquet]. With filters it is only what they let through, and does not verify as a chain.

    Values are not part of it, only commitments to them, unless --with-values asks for them. With --json and -o:
    {"records", "file"}.
    """
    import asyncio

    from mcp_guard.admin.export import Request
    from mcp_guard.audit.query import Filters

    request = Request(form, filters_of(**filters), values=with_values)  # type: ignore[arg-type]  # a click.Choice
    _check(output, request, target, checkpoint)
    count = asyncio.run(_export(output, request, target, checkpoint))
    if target is not None:
        output.data({"records": count, "file": str(target)}, (f"{count} records written to {target}",))
    if form == "jsonl" and request.filters != Filters():
        output.note("this export is filtered: it does not verify as a chain, since records between are left out")


def _check(output: Output, request: "Request", target: Path | None, checkpoint: Path | None) -> None:
    """Raises `UsageError` for what does not go together."""
    if request.form == "jsonl" and request.values:
        hint = (
            "name another --format for them; `mcp-guard audit reveal` shows one value with the salt it is checked with"
        )
        raise UsageError("The stored lines hold no values.", hint=hint)
    if checkpoint is not None and not request.verifies:
        raise UsageError("Only the whole log as jsonl verifies against a checkpoint.", hint="leave filters out")
    if target is None and output.as_json:
        raise UsageError("A log is not one JSON document.", hint="name a file for it with -o")
    if target is None and request.form == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is not for terminals.", hint="name a file for it with -o")


class _Screen(BytesIO):
    """A terminal: strangers choose the names of tools they call, so nothing of a log is to command it."""

    def write(self, data: "ReadableBuffer", /) -> int:
        text = bytes(data).decode("utf-8", "replace")
        return sys.stdout.write(printable(text.replace("\r\n", "\n")))


async def _export(output: Output, request: "Request", target: Path | None, checkpoint: Path | None) -> int:
    from mcp_guard.audit.export import private_file
    from mcp_guard.build import open_exporting

    home = output.load_recorded_home()
    async with open_exporting(home, values=request.values) as admin:
        if checkpoint is not None:
            note = admin.checkpoint()  # before the lines, so that they are all it covers
            with private_file(checkpoint) as file:
                file.write(note)
        shown: BinaryIO = _Screen() if sys.stdout.isatty() else sys.stdout.buffer
        sink: AbstractContextManager[BinaryIO] = private_file(target) if target is not None else nullcontext(shown)
        with sink as to:
            return await admin.export(request, to)
