"""From the anchors a home names to what asks them: the one place where they meet the network, secrets and the store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from mcp_guard.config.home import Home

if TYPE_CHECKING:
    from mcp_guard.admin.anchoring import Anchoring, Planned
    from mcp_guard.audit.anchors import Anchor, Newest, Post
    from mcp_guard.audit.journal import Journal
    from mcp_guard.config.settings import Anchor as Settings
    from mcp_guard.connect.egress import Egress
    from mcp_guard.secrets.redact import Redactor
    from mcp_guard.store.store import Store


@asynccontextmanager
async def open_anchoring(
    home: Home, store: "Store", journal: "Journal", newest: "Newest", redactor: "Redactor"
) -> "AsyncIterator[Anchoring | None]":
    """The anchors of a home over its open store, or nothing where it names none. Nobody is asked yet."""
    if not home.settings.audit.anchors:
        yield None
        return
    from mcp_guard.admin.anchoring import Anchoring
    from mcp_guard.connect.egress import Egress

    egress = Egress()
    try:
        planned = [_planned(anchor, home, store, egress, redactor) for anchor in home.settings.audit.anchors]
        yield Anchoring(planned, store, journal, newest)
    finally:
        await egress.aclose()


def _planned(settings: "Settings", home: Home, store: "Store", egress: "Egress", redactor: "Redactor") -> "Planned":
    from mcp_guard.admin.anchoring import Planned
    from mcp_guard.kit.units import seconds

    anchor = _anchor(settings, home, store, _post(settings, home, egress, redactor))
    return Planned(anchor, int(seconds(settings.every) * 1_000_000))


def _anchor(settings: "Settings", home: Home, store: "Store", post: "Post") -> "Anchor":
    from mcp_guard.audit.copies import FileCopy, HttpCopy
    from mcp_guard.audit.hand_overs import hand_overs
    from mcp_guard.audit.proofs import Proofs
    from mcp_guard.audit.timestamp import Authorities, TimestampAnchor
    from mcp_guard.audit.witness_client import WitnessAnchor
    from mcp_guard.model.note import VerifierKey

    growth = Proofs(store).growth
    if settings.key is not None:
        key = VerifierKey.parse(settings.key)
        return WitnessAnchor(key, post, growth, partial(hand_overs, store), store.clock)
    if settings.ca is not None:
        return TimestampAnchor(settings.called, post, Authorities.of(home.path(settings.ca)), store.clock)
    if settings.file is not None:
        return FileCopy(settings.called, home.path(settings.file), growth, store.clock)
    return HttpCopy(settings.called, post, store.clock)


def _post(settings: "Settings", home: Home, egress: "Egress", redactor: "Redactor") -> "Post":
    """How the address of an anchor is reached: guarded like a tool's, its secrets resolved at every use."""
    from mcp_guard.audit.anchors import Reply
    from mcp_guard.config.secrets import resolver_of
    from mcp_guard.connect.documents import Documents
    from mcp_guard.kit import references

    outside, resolver = Documents(egress, settings.networks), resolver_of(home, redactor)
    address = settings.address.rstrip("/") if settings.witness is not None else settings.address

    async def header(text: str) -> str:
        parts = [part if isinstance(part, str) else await resolver.obtain(part) for part in references.parse(text)]
        return "".join(parts)

    async def post(path: str, body: bytes, kind: str) -> Reply:
        headers = tuple([(name, await header(text)) for name, text in settings.headers.items()])
        response = await outside.post(address + path, body, kind, headers)
        return Reply(response.status, response.headers.get("content-type", ""), response.body)

    return post
