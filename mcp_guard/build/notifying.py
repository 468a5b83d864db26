"""From the webhooks a home names to what sends them: the one place where they meet the network and secrets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from mcp_guard.config.home import Home
from mcp_guard.kit.clock import SystemClock, as_datetime

if TYPE_CHECKING:
    from mcp_guard.admin.notifying import Notifying, Receiver, Replied
    from mcp_guard.approval.outbox import Outbox
    from mcp_guard.approval.webhooks import Hook
    from mcp_guard.audit.journal import Journal
    from mcp_guard.config.settings import Webhook
    from mcp_guard.connect.egress import Egress
    from mcp_guard.parking import Parking
    from mcp_guard.secrets.redact import Redactor
    from mcp_guard.store.store import Store

SECONDS = 15.0
"""How long a receiver has to answer (Standard Webhooks: 15 to 30 s)."""
MAX_BYTES = 64 * 1024
"""How much of an answer is read. Nothing of it is kept."""


def outbox_of(home: Home, store: "Store") -> "Outbox | None":
    """Where messages for the webhooks of a home wait; `None` where it names none."""
    from mcp_guard.approval.outbox import Outbox

    hooks = tuple(map(_hook, home.settings.approvals.webhooks))
    return Outbox(store, hooks) if hooks else None


@asynccontextmanager
async def open_notifying(
    home: Home, journal: "Journal", parking: "Parking", redactor: "Redactor"
) -> "AsyncIterator[Notifying | None]":
    """What sends the messages of a serving guard, or nothing where the home names no webhook. Nothing is sent yet."""
    outbox = parking.outbox
    if outbox is None:
        yield None
        return
    from mcp_guard.admin.notifying import Notifying
    from mcp_guard.connect.egress import Egress

    egress = Egress()
    try:
        receivers = [_receiver(hook, home, egress, redactor) for hook in home.settings.approvals.webhooks]
        yield Notifying(receivers, outbox, parking, journal, SystemClock())
    finally:
        await egress.aclose()


@asynccontextmanager
async def open_webhooks(home: Home) -> "AsyncIterator[Outbox | None]":
    """How it stands with the webhooks of this home, also while others serve it."""
    from mcp_guard.build.wiring import open_journal
    from mcp_guard.secrets.redact import Redactor

    async with open_journal(home, Redactor()) as (store, _):
        yield outbox_of(home, store)


def _hook(settings: "Webhook") -> "Hook":
    from mcp_guard.approval.webhooks import Hook

    return Hook(
        settings.called,
        frozenset(settings.on),
        frozenset(settings.tenants),
        settings.detail == "summary",
        sha256(settings.url.encode()).hexdigest(),
    )


def _receiver(settings: "Webhook", home: Home, egress: "Egress", redactor: "Redactor") -> "Receiver":
    """A receiver, reached like a tool's upstream: guarded, and its secret resolved at every use."""
    from mcp_guard.admin.notifying import Receiver, Replied
    from mcp_guard.config.secrets import resolver_of
    from mcp_guard.connect.answer import retry_after_seconds
    from mcp_guard.connect.documents import Documents
    from mcp_guard.kit import references

    outside = Documents(egress, settings.networks, seconds=SECONDS, max_bytes=MAX_BYTES)
    resolver = resolver_of(home, redactor)

    async def secret() -> str:
        parts = references.parse(settings.secret)
        return "".join([part if isinstance(part, str) else await resolver.obtain(part) for part in parts])

    async def post(body: bytes, headers: tuple[tuple[str, str], ...]) -> "Replied":
        answered = await outside.post(settings.url, body, "application/json", headers)
        now = as_datetime(SystemClock().now_us())
        return Replied(answered.status, retry_after_seconds(answered.headers.get("retry-after"), now))

    return Receiver(_hook(settings), secret, post)
