"""What is done with a log that is kept: exports, legal holds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mcp_guard.config.home import Home

if TYPE_CHECKING:
    from mcp_guard.admin.export import ExportAdmin
    from mcp_guard.admin.hold import HoldAdmin
    from mcp_guard.audit.holds import Holds


@asynccontextmanager
async def open_exporting(home: Home, *, values: bool) -> "AsyncIterator[ExportAdmin]":
    """Exports of this home's log. Nothing is made or written, except where values are exported, which is recorded."""
    from mcp_guard.admin.export import ExportAdmin
    from mcp_guard.audit.query import Query
    from mcp_guard.secrets.redact import Redactor
    from mcp_guard.store.store import Store

    if values:
        from mcp_guard.build.wiring import open_journal

        async with open_journal(home, Redactor()) as (store, journal):
            yield ExportAdmin(store, Query(store), journal)
        return
    store = Store.open_readonly(home.store)
    try:
        yield ExportAdmin(store, Query(store))
    finally:
        await store.aclose()


@asynccontextmanager
async def open_holds(home: Home) -> "AsyncIterator[Holds]":
    """What is on hold on this home's store, for looking; nothing is made or written."""
    from mcp_guard.audit.holds import Holds
    from mcp_guard.store.store import Store

    store = Store.open_readonly(home.store)
    try:
        yield Holds(store)
    finally:
        await store.aclose()


@asynccontextmanager
async def open_holding(home: Home) -> "AsyncIterator[HoldAdmin]":
    """Placing and releasing holds on this home's store, also while others serve it."""
    from mcp_guard.admin.hold import HoldAdmin
    from mcp_guard.audit.holds import Holds
    from mcp_guard.build.wiring import open_journal
    from mcp_guard.secrets.redact import Redactor

    async with open_journal(home, Redactor()) as (store, journal):
        yield HoldAdmin(Holds(store), journal, store.clock)
