"""`mcp-guard audit tail -f`: records as they are appended, until somebody says stop."""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mcp_guard.cli.log_table import COLUMNS, cells
from mcp_guard.cli.output import Output
from mcp_guard.kit.text import visible

if TYPE_CHECKING:
    from mcp_guard.audit.query import Filters

INTERRUPTED = 130
LOOK_SECONDS = 0.25
"""How often the log is looked at. A look is one short read, and nothing is held between two."""


def follow(output: Output, filters: "Filters") -> int:
    """Print the newest records and then every new one; the exit status, once a signal says stop."""
    return asyncio.run(_follow(output, filters))


async def _follow(output: Output, filters: "Filters") -> int:
    from mcp_guard.build import open_query
    from mcp_guard.kit.signals import stop_on_signals

    async with stop_on_signals() as stop, open_query(output.load_recorded_home()) as query:
        follower = await query.follow(filters)
        page = await query.page(replace(filters, before=follower.next))
        if not output.as_json:
            print("  ".join(COLUMNS))
        _print(output, page.records[::-1])
        while not stop.is_set():
            at = follower.next
            _print(output, await follower.step())
            if follower.next == at:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        return INTERRUPTED if stop.interrupted else 0


def _print(output: Output, records: Sequence[dict[str, Any]]) -> None:
    for record in records:
        row = ("-" if cell is None else visible(str(cell)) for cell in cells(record))
        print(json.dumps(record) if output.as_json else "  ".join(row))
    sys.stdout.flush()
