"""The signing of a home's log, and proofs about it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_guard.config.home import Home

if TYPE_CHECKING:
    from mcp_guard.admin.anchoring import Anchoring
    from mcp_guard.admin.signing import SigningAdmin
    from mcp_guard.audit.proofs import Proofs
    from mcp_guard.audit.query import Query
    from mcp_guard.model.note import VerifierKey
    from mcp_guard.store.store import Store


def signing_of(home: Home, store: "Store") -> "SigningAdmin":
    """The keys of this home over its store; nothing is read yet."""
    from mcp_guard.admin.signing import SigningAdmin
    from mcp_guard.audit.epochs import Epochs
    from mcp_guard.audit.key_files import KeyFiles
    from mcp_guard.kit.units import seconds

    settings = home.settings.audit
    epoch_us = int(seconds(settings.key_epoch) * 1_000_000)
    files, every = KeyFiles(home.keys, store.origin), seconds(settings.checkpoint_every)
    return SigningAdmin(store, Epochs(files, store.boot, store.clock, every=every, epoch_us=epoch_us))


@asynccontextmanager
async def open_signing(home: Home) -> "AsyncIterator[tuple[SigningAdmin, VerifierKey, Anchoring | None]]":
    """The signing of this home's log, also while others serve it, the key in force, and the anchors if it names any.

    Raises `Invalid` for a key that must not be used.
    """
    from mcp_guard.build.anchoring import open_anchoring
    from mcp_guard.build.wiring import open_journal
    from mcp_guard.secrets.redact import Redactor

    redactor = Redactor()
    async with open_journal(home, redactor) as (store, journal):
        signing = signing_of(home, store)
        key = await signing.begin()
        async with open_anchoring(home, store, journal, signing.newest, redactor) as anchoring:
            yield signing, key, anchoring


@asynccontextmanager
async def open_proofs(home: Home, archive: Path | None = None) -> "AsyncIterator[tuple[Proofs, Query]]":
    """Proofs about this home's log, as far as it is signed; nothing is made or written.

    Lines that were pruned come from the archive, by default the home's.
    """
    from mcp_guard.audit.proofs import Proofs
    from mcp_guard.audit.query import Query
    from mcp_guard.store.store import Store

    store = Store.open_readonly(home.store)
    try:
        yield Proofs(store, archive or home.archive), Query(store)
    finally:
        await store.aclose()
