"""Wiring of the accounts that people have at upstreams."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

from mcp_guard.config.home import Home
from mcp_guard.kit.clock import SystemClock
from mcp_guard.kit.units import seconds
from mcp_guard.kit.web import origin_of
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.errors import GuardError
from mcp_guard.model.oauth import OAuthSpec

if TYPE_CHECKING:
    from mcp_guard.admin.connected import Connected
    from mcp_guard.admin.connections import Connections
    from mcp_guard.admin.consenting import Consenting
    from mcp_guard.audit.journal import Journal
    from mcp_guard.build.live import Live
    from mcp_guard.connect.documents import Documents
    from mcp_guard.connect.egress import Egress
    from mcp_guard.identity.oauth.connection import ConnectionStore
    from mcp_guard.model.principal import Principal
    from mcp_guard.secrets.redact import Redactor
    from mcp_guard.store.store import Store

Spec = Callable[[str], OAuthSpec | None]
_NO_POLICY = "none"
"""No rule is asked whether somebody is stopped."""


@asynccontextmanager
async def open_connected(
    live: "Live", store: "Store", journal: "Journal", redactor: "Redactor"
) -> "AsyncIterator[Connected]":
    """What calls use of connections. Nothing is made or sent before a tool needs it."""
    spec: Spec = _of_catalog(lambda: live.definition.catalog)
    async with _connected(live.definition.home, store, journal, redactor, spec) as connected:
        yield connected


@asynccontextmanager
async def open_connections(home: Home) -> "AsyncIterator[Connections]":
    """Connections of this home's store, for an operator. A home whose tools or policy are broken can still end one."""
    from mcp_guard.admin.connections import Connections
    from mcp_guard.build.wiring import open_journal
    from mcp_guard.secrets.redact import Redactor

    redactor, outside = Redactor(), _Outside()
    async with open_journal(home, redactor) as (store, journal):
        consenting = _consenting(
            home, store, journal, redactor, outside=outside, spec=lambda name: specs_of(home).get(name)
        )
        try:
            yield Connections(consenting.store, consenting.issuers, journal, consenting.spec)
        finally:
            await outside.aclose()


@asynccontextmanager
async def open_lending(home: Home, redactor: "Redactor") -> "AsyncIterator[Connected]":
    """Connections of this home's store for an operator who looks at upstreams in somebody's name. Raises `Invalid` for
    broken manifests."""
    from mcp_guard.build.wiring import open_journal

    specs = specs_of(home, strict=True)
    async with (
        open_journal(home, redactor) as (store, journal),
        _connected(home, store, journal, redactor, specs.get) as connected,
    ):
        yield connected


@asynccontextmanager
async def _connected(
    home: Home, store: "Store", journal: "Journal", redactor: "Redactor", spec: Spec
) -> "AsyncIterator[Connected]":
    from mcp_guard.admin.connected import Connected

    outside = _Outside()
    consenting = _consenting(home, store, journal, redactor, outside=outside, spec=spec)
    connected = Connected(consenting.store, consenting, journal, redactor, SystemClock())
    try:
        yield connected
    finally:
        await connected.aclose()
        await outside.aclose()


@asynccontextmanager
async def open_connection_store(home: Home) -> "AsyncIterator[ConnectionStore]":
    """The connections of this home's store, for looking; nothing is made or written."""
    from mcp_guard.identity.oauth.connection import ConnectionStore
    from mcp_guard.secrets.vault import load_or_make
    from mcp_guard.store.store import Store

    store = Store.open_readonly(home.store)
    try:
        yield ConnectionStore(store, cache(lambda: load_or_make(home.keys)))
    finally:
        await store.aclose()


def specs_of(home: Home, *, strict: bool = False) -> dict[str, OAuthSpec]:
    """What the manifests say of every upstream with accounts, whatever of it is locked. Raises `Invalid` if `strict`;
    else broken manifests say nothing."""
    from mcp_guard.manifest.load import accounts

    try:
        return accounts(home.directory, home.settings.tools, reserved=home.reserved)
    except GuardError:
        if strict:
            raise
        return {}


def public_base(home: Home) -> str | None:
    """Where browsers reach `serve --http` as the home says; `None` where it says nothing of it."""
    said = home.settings.connections.url or home.settings.identity.oidc.audience
    return None if said is None else origin_of(said)


def _of_catalog(catalog: Callable[[], Catalog]) -> Spec:
    def spec(upstream: str) -> OAuthSpec | None:
        found = (entry.tool.oauth for entry in catalog().values())
        return next((one for one in found if one is not None and one.upstream == upstream), None)

    return spec


def _consenting(
    home: Home, store: "Store", journal: "Journal", redactor: "Redactor", *, outside: "_Outside", spec: Spec
) -> "Consenting":
    from mcp_guard.admin.consenting import CLIENT_PATH, Consenting
    from mcp_guard.admin.issuers import Issuers
    from mcp_guard.config.secrets import resolver_of
    from mcp_guard.identity.oauth.connection import ConnectionStore
    from mcp_guard.secrets.vault import load_or_make

    base, clock = public_base(home), SystemClock()
    resolver = resolver_of(home, redactor)
    issuers = Issuers(
        outside.reaching,
        resolver.obtain,
        lambda: None if base is None else f"{base}{CLIENT_PATH}",
        clock,
    )
    rows = ConnectionStore(store, cache(lambda: load_or_make(home.keys)))
    link_us = int(seconds(home.settings.connections.link) * 1_000_000)
    return Consenting(rows, issuers, journal, clock, spec, link_us, _stopped(store), base)


def _stopped(store: "Store") -> "Callable[[Principal], bool]":
    from mcp_guard.identity.revoked import Revocations
    from mcp_guard.identity.store import TokenStore
    from mcp_guard.limits.freeze import NO_TOOL, Freezes

    freezes, revocations = Freezes(store), Revocations(TokenStore(store).find)

    def stopped(who: "Principal") -> bool:
        return bool(freezes.decision(who, NO_TOOL, _NO_POLICY) or revocations.decision(who, _NO_POLICY))

    return stopped


class _Outside:
    """The guarded HTTP client, made when it is first needed: commands that need none do not wait for it."""

    def __init__(self) -> None:
        self._egress: Egress | None = None

    def reaching(self, networks: tuple[str, ...]) -> "Documents":
        """What fetches documents, also from these private networks."""
        from mcp_guard.connect.documents import Documents
        from mcp_guard.connect.egress import Egress

        if self._egress is None:
            self._egress = Egress()
        return Documents(self._egress, networks)

    async def aclose(self) -> None:
        if self._egress is not None:
            await self._egress.aclose()
