"""What is done with a log that is kept: exports, legal holds, pruning."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mcp_guard.config.home import Home

if TYPE_CHECKING:
    from mcp_guard.admin.export import ExportAdmin
    from mcp_guard.admin.hold import HoldAdmin
    from mcp_guard.admin.prune import PruneAdmin
    from mcp_guard.audit.holds import Holds
    from mcp_guard.model.note import VerifierKey


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


@asynccontextmanager
async def open_pruning(home: Home, witnesses: "Sequence[VerifierKey]") -> "AsyncIterator[PruneAdmin]":
    """Pruning this home's store, also while others serve it; whose acknowledgements count is said by `witnesses`."""
    from mcp_guard.admin.prune import PruneAdmin
    from mcp_guard.audit.key_files import published
    from mcp_guard.audit.query import Query
    from mcp_guard.audit.statements import Trust
    from mcp_guard.audit.verify import verify_signature
    from mcp_guard.build.signing import signing_of
    from mcp_guard.build.wiring import open_journal
    from mcp_guard.secrets.redact import Redactor

    async with open_journal(home, Redactor()) as (store, journal):
        await signing_of(home, store).begin()
        trust = Trust(verify_signature, published(home.keys), tuple(witnesses), complete=True)
        yield PruneAdmin(store, journal, Query(store), trust)
