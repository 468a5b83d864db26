"""From a checked definition to what runs: the store, the pipeline, identity and the guard, opened and closed as one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from mcp_guard import __version__
from mcp_guard.build.anchoring import open_anchoring
from mcp_guard.build.asking import Asking
from mcp_guard.build.connecting import open_connected
from mcp_guard.build.definition import Definition, define
from mcp_guard.build.guard import DRAIN_SECONDS, Guard, Identity
from mcp_guard.build.limits import limits_of
from mcp_guard.build.live import Live
from mcp_guard.build.notifying import open_notifying
from mcp_guard.build.parking import (
    approvals_of,
    confirming_of,
    granting_of,
    grants_of,
    inline_of,
    parking_of,
    runner_of,
    tasks_of,
)
from mcp_guard.build.questions import define_tested
from mcp_guard.build.results import keeping_of, results_of
from mcp_guard.build.signing import signing_of
from mcp_guard.build.watch import stamp_of
from mcp_guard.config.home import Home
from mcp_guard.identity.directory import Directory
from mcp_guard.kit import units
from mcp_guard.kit.clock import SystemClock
from mcp_guard.model.errors import GuardError, StoreUnavailable

if TYPE_CHECKING:
    from mcp_guard.admin.anchoring import Anchoring
    from mcp_guard.admin.change_control import ChangeControl
    from mcp_guard.admin.connected import Connected
    from mcp_guard.admin.erase import EraseAdmin
    from mcp_guard.admin.freeze import FreezeAdmin
    from mcp_guard.admin.notifying import Notifying
    from mcp_guard.admin.records import RecordReader
    from mcp_guard.admin.result_reading import ResultReader
    from mcp_guard.admin.reveal import RevealAdmin
    from mcp_guard.admin.signing import SigningAdmin
    from mcp_guard.admin.tokens import TokenAdmin
    from mcp_guard.admin.usage import UsageReader
    from mcp_guard.audit.journal import Journal
    from mcp_guard.audit.pseudonyms import Pseudonyms
    from mcp_guard.audit.query import Query
    from mcp_guard.build.reload import Reloader
    from mcp_guard.config.settings import Settings
    from mcp_guard.connect.breaker import Breakers
    from mcp_guard.granting import Granting
    from mcp_guard.identity.store import TokenStore
    from mcp_guard.limits.freeze import Freezes
    from mcp_guard.limits.limits import Limits
    from mcp_guard.limits.seen import Seen
    from mcp_guard.model.disclosure import Disclosure
    from mcp_guard.pipeline import Pipeline
    from mcp_guard.secrets.redact import Redactor
    from mcp_guard.store.store import Store

RECOVERY_SECONDS = 30.0
"""How often a serving guard looks for intents of processes that are gone."""


@asynccontextmanager
async def open_guard(home: Home, *, serving: bool, verbosity: int = 0) -> AsyncIterator[Guard]:
    """A guard on an open store, drained and closed with the block. A serving one also closes what dead ones left open.

    Raises `Invalid` for a broken home or a signing key that must not be used, `StoreUnavailable` for a store that
    cannot be written; nothing is served then.
    """
    from mcp_guard.build.reload import Reloader
    from mcp_guard.secrets.redact import Redactor
    from mcp_guard.telemetry.log import configure

    stamp = stamp_of(home)
    live = Live(define_tested(home) if serving else define(home))
    redactor = Redactor()
    configure(verbose=verbosity, as_json=False, redact=redactor.text)
    async with (
        open_journal(home, redactor) as (store, journal),
        _change_controlled(live, store, journal) as control,
        _open_identity(live, redactor) as identity,
        open_connected(live, store, journal, redactor) as connected,
        _open_pipeline(live, store, journal, redactor, identity, connected=connected) as work,
    ):
        signing = signing_of(home, store)
        await signing.begin()
        guard = _wire(live, store, journal, work, identity, connected=connected)
        if not serving:
            try:
                yield guard
            finally:
                await guard.runner.stop()
            return
        store.liveness.serve(store.boot)
        async with (
            open_anchoring(home, store, journal, signing.newest, redactor) as anchoring,
            open_notifying(home, journal, work[1].parking, redactor) as notifying,
            _serving(guard, Reloader(live, journal, guard.pipeline, stamp, control), signing, anchoring, notifying),
        ):
            try:
                yield guard
            finally:
                await guard.feed.aclose()


@asynccontextmanager
async def _change_controlled(live: Live, store: "Store", journal: "Journal") -> "AsyncIterator[ChangeControl | None]":
    """Change control, where the home wants it: then nothing opens on files that wait for confirmation."""
    if live.definition.home.settings.policy.change_control == "off":
        yield None
        return
    from mcp_guard.admin.change_control import ChangeControl
    from mcp_guard.build.change import admit

    control = ChangeControl(store, journal, SystemClock())
    await admit(control, live.definition)
    yield control


@asynccontextmanager
async def _serving(
    guard: Guard,
    reloader: "Reloader",
    signing: "SigningAdmin",
    anchoring: "Anchoring | None",
    notifying: "Notifying | None",
) -> AsyncIterator[None]:
    """What a serving guard does beside answering: close what dead ones left open, carry tasks on, have the log
    confirmed elsewhere, tell others of approvals, and keep up with its files and keys."""
    import asyncio

    from mcp_guard.build.reload import Standing

    journal, definition = guard.journal, guard.definition
    recovered = await journal.recover()
    await journal.boot(_boot_state(definition, recovered), standing=Standing.of(definition).as_dict())
    running = [_tend_for_ever(guard, signing), reloader.watch(), guard.runner.watch()]
    if anchoring is not None:
        running.append(anchoring.watch())
    if notifying is not None:
        running.append(notifying.watch())
    beside = [asyncio.create_task(coroutine) for coroutine in running]
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await guard.drain()
        await guard.runner.stop()
    await journal.shutdown({"what": "stopped"})
    if anchoring is not None:
        with suppress(GuardError):  # what failed is kept, for status
            await anchoring.last()


async def _tend_for_ever(guard: Guard, signing: "SigningAdmin") -> None:
    """Close what other processes leave open when they die, remove results whose time is over, and see to the signing
    keys, while this one lives."""
    import asyncio

    while True:
        await asyncio.sleep(RECOVERY_SECONDS)
        with suppress(StoreUnavailable):
            await guard.journal.recover()
            await guard.results.sweep()
        with suppress(GuardError):  # whether signing works is told where the log's health is
            await signing.tend()


def _boot_state(definition: Definition, recovered: int) -> Mapping[str, object]:
    return {
        "what": "started",
        "version": __version__,
        "policy": definition.policy.version,
        "tools": len(definition.catalog),
        "recovered": recovered,
    } | ({"observed": list(definition.catalog.observed)} if definition.catalog.observed else {})


def _wire(
    live: Live,
    store: "Store",
    journal: "Journal",
    work: "tuple[Pipeline, Granting]",
    identity: Identity,
    *,
    connected: "Connected",
) -> Guard:
    from mcp_guard.admin.feed import RecordFeed
    from mcp_guard.admin.own_tools import OwnTools
    from mcp_guard.admin.permissions import Permissions
    from mcp_guard.admin.task_reading import TaskReader
    from mcp_guard.identity.authenticate import Authenticator
    from mcp_guard.identity.store import TokenStore
    from mcp_guard.limits.freeze import Freezes
    from mcp_guard.progress import Progress

    pipeline, granting = work
    parking = granting.parking
    freezes, seen, in_force, clock = Freezes(store), _seen(live, store), live.in_force, SystemClock()

    refusals = live.definition.home.settings.policy.refusals
    limits = limits_of(live, store)
    asking = Asking(in_force, freezes, seen, limits.spent, clock)
    records = _records_of(asking, store, journal, refusals)
    authenticator = Authenticator(live.directory, TokenStore(store).find, clock, identity.access_tokens)
    permissions = Permissions(in_force, freezes, seen, journal, clock, limits.spent, refusals)
    runner, tasks, approvals = (
        runner_of(live, parking, pipeline),
        tasks_of(live, parking, journal),
        approvals_of(live, granting, authenticator),
    )
    own = OwnTools(tasks, approvals, freezes, seen, in_force, journal, clock, runner.poke, refusals)
    inline = inline_of(live, tasks, runner)
    return Guard(
        live=live,
        pipeline=pipeline,
        journal=journal,
        records=records,
        feed=RecordFeed(records),
        permissions=permissions,
        usage=_usage_of(asking, store, journal, limits, refusals),
        authenticator=authenticator,
        identity=identity,
        connected=connected,
        runner=runner,
        inline=inline,
        tasks=tasks,
        approvals=approvals,
        grants=grants_of(live, granting, approvals, seen),
        own_tools=own,
        task_reader=TaskReader(tasks, asking.frozen, asking.noting, journal, refusals),
        results=_reader_of(live, asking, store, journal, refusals),
        confirming=confirming_of(live, approvals, tasks, inline),
        progress=Progress(tasks),
        others_serve=partial(store.liveness.others_serve, store.boot),
    )


def _records_of(asking: Asking, store: "Store", journal: "Journal", refusals: "Disclosure") -> "RecordReader":
    from mcp_guard.admin.records import RecordReader
    from mcp_guard.audit.proofs import Proofs
    from mcp_guard.audit.query import Query

    query, proofs = Query(store, refusals), Proofs(store)
    return RecordReader(asking.decide, asking.frozen, asking.noting, query, journal, proofs, refusals)


def _usage_of(
    asking: Asking, store: "Store", journal: "Journal", limits: "Limits", refusals: "Disclosure"
) -> "UsageReader":
    from mcp_guard.admin.usage import UsageReader
    from mcp_guard.limits.usage import Usage

    return UsageReader(Usage(store), asking.in_force, limits.common, asking.decide, journal, refusals)


def _reader_of(
    live: Live, asking: Asking, store: "Store", journal: "Journal", refusals: "Disclosure"
) -> "ResultReader":
    from mcp_guard.admin.result_reading import ResultReader

    kept, noting = results_of(live, store), asking.noting
    return ResultReader(kept, asking.in_force, asking.decide, asking.freezes, noting, journal, asking.clock, refusals)


def _seen(live: Live, store: "Store") -> "Seen":
    from mcp_guard.kit.units import seconds
    from mcp_guard.limits.seen import Seen

    return Seen(store, seconds(live.definition.home.settings.policy.seen_window))


@asynccontextmanager
async def _open_identity(live: Live, redactor: "Redactor") -> AsyncIterator[Identity]:
    """Nothing is fetched before the first access token, nothing made unless a tool asks for it."""
    from mcp_guard.manifest.tokens import tools_asking

    definition = live.definition
    settings = definition.home.settings
    wants_credentials = bool(tools_asking(definition.catalog))
    if settings.identity.oidc.issuer is None and not wants_credentials:
        yield Identity()
        return
    from mcp_guard.config.oidc import access_tokens_of, credentials_of, resource_of
    from mcp_guard.config.secrets import resolver_of
    from mcp_guard.connect.documents import Documents
    from mcp_guard.connect.egress import Egress
    from mcp_guard.identity.protected_resource import KEYS_PATH

    egress, resource, clock = Egress(), resource_of(settings), SystemClock()
    outside = Documents(egress, settings.identity.oidc.networks)
    resolve = resolver_of(definition.home, redactor).obtain
    access_tokens = access_tokens_of(settings, live.directory, outside.get, clock)
    credentials = credentials_of(definition.home, resolve, outside.post_form, clock) if wants_credentials else None
    documents = dict(resource.documents()) if resource else {}
    if credentials is not None:
        documents[KEYS_PATH] = credentials.tokens.key.key_set()
    try:
        yield Identity(resource, access_tokens, credentials, documents)
    finally:
        if access_tokens is not None:
            await access_tokens.keys.aclose()
        await egress.aclose()


@asynccontextmanager
async def open_journal(home: Home, redactor: "Redactor") -> "AsyncIterator[tuple[Store, Journal]]":
    """The home's store, open for writing, and the pen for its log."""
    from mcp_guard.audit.journal import Journal
    from mcp_guard.store.store import Store

    store = Store.open(home.store, home.settings.name, clock=SystemClock())
    try:
        journal = Journal(store, redact=redactor.value, pseudonyms=_pseudonyms(home, store))
        try:
            yield store, journal
        finally:
            await journal.aclose()
    finally:
        await store.aclose()


def _pseudonyms(home: Home, store: "Store") -> "Pseudonyms | None":
    if not home.settings.audit.pseudonyms:
        return None
    from mcp_guard.audit.pseudonyms import Pseudonyms, load_or_make_key

    return Pseudonyms(store, load_or_make_key(home.keys))


def _breakers(settings: "Settings") -> "Breakers":
    from mcp_guard.connect.breaker import Breakers, Rules

    breaker = settings.egress.breaker
    return Breakers(Rules(breaker.failures, units.seconds(breaker.open)))


@asynccontextmanager
async def _open_pipeline(
    live: Live,
    store: "Store",
    journal: "Journal",
    redactor: "Redactor",
    identity: Identity,
    *,
    connected: "Connected",
) -> "AsyncIterator[tuple[Pipeline, Granting]]":
    from mcp_guard.config.secrets import resolver_of
    from mcp_guard.connect.factory import Means
    from mcp_guard.identity.revoked import Revocations
    from mcp_guard.identity.store import TokenStore
    from mcp_guard.limits.freeze import Freezes
    from mcp_guard.pipeline import Pipeline

    home, issue = live.definition.home, identity.credentials.issue if identity.credentials else None
    resolver = resolver_of(home, redactor)
    async with Means.open(
        home.directory,
        resolver,
        redactor,
        issue=issue,
        forbids=home.forbids,
        make_breakers=lambda: _breakers(home.settings),
        tokens=connected,
    ) as means:
        live.connect(means)
        parking = parking_of(live, store, journal)
        granting = granting_of(live, store, parking)
        pipeline = Pipeline(
            in_force=live.in_force,
            freezes=Freezes(store),
            revocations=Revocations(TokenStore(store).find),
            seen=_seen(live, store),
            parking=parking,
            granting=granting,
            limits=limits_of(live, store),
            keeping=keeping_of(live, store),
            tokens=connected,
            journal=journal,
            refusals=live.definition.home.settings.policy.refusals,
            redact=redactor.value,
            clock=SystemClock(),
        )
        try:
            yield pipeline, granting
        finally:
            await pipeline.drain(DRAIN_SECONDS)
            await live.aclose()


@asynccontextmanager
async def open_tokens(home: Home, directory: Directory) -> "AsyncIterator[TokenAdmin]":
    """Token use-cases on this home's store. A home whose tools or policy are broken can still revoke."""
    from mcp_guard.admin.tokens import TokenAdmin
    from mcp_guard.identity.store import TokenStore
    from mcp_guard.secrets.redact import Redactor

    async with open_journal(home, Redactor()) as (store, journal):
        yield TokenAdmin(TokenStore(store), directory, journal, SystemClock())


@asynccontextmanager
async def open_token_store(home: Home) -> "AsyncIterator[TokenStore]":
    """The tokens of this home's store, for looking; nothing is made or written."""
    from mcp_guard.identity.store import TokenStore
    from mcp_guard.store.store import Store

    store = Store.open_readonly(home.store)
    try:
        yield TokenStore(store)
    finally:
        await store.aclose()


@asynccontextmanager
async def open_freezing(home: Home) -> "AsyncIterator[FreezeAdmin]":
    """Freeze use-cases on this home's store. A home whose tools or policy are broken can still be stopped."""
    from mcp_guard.admin.freeze import FreezeAdmin
    from mcp_guard.limits.freeze import Freezes
    from mcp_guard.secrets.redact import Redactor

    async with open_journal(home, Redactor()) as (store, journal):
        yield FreezeAdmin(Freezes(store), journal, SystemClock())


@asynccontextmanager
async def open_freezes(home: Home) -> "AsyncIterator[Freezes]":
    """What is frozen on this home's store, for looking; nothing is made or written."""
    from mcp_guard.limits.freeze import Freezes
    from mcp_guard.store.store import Store

    store = Store.open_readonly(home.store)
    try:
        yield Freezes(store)
    finally:
        await store.aclose()


@asynccontextmanager
async def open_query(home: Home) -> "AsyncIterator[Query]":
    """Questions to this home's log; nothing is made or written."""
    from mcp_guard.audit.query import Query
    from mcp_guard.store.store import Store

    store = Store.open_readonly(home.store)
    try:
        yield Query(store)
    finally:
        await store.aclose()


@asynccontextmanager
async def open_erasing(home: Home) -> "AsyncIterator[EraseAdmin]":
    """Erasing on this home's store, also while others serve it."""
    from mcp_guard.admin.erase import EraseAdmin
    from mcp_guard.audit.query import Query
    from mcp_guard.secrets.redact import Redactor

    async with open_journal(home, Redactor()) as (store, journal):
        yield EraseAdmin(store, journal, Query(store), _pseudonyms(home, store))


@asynccontextmanager
async def open_revealing(home: Home) -> "AsyncIterator[RevealAdmin]":
    """Opening commitments of this home's log."""
    from mcp_guard.admin.reveal import RevealAdmin
    from mcp_guard.secrets.redact import Redactor

    async with open_journal(home, Redactor()) as (store, journal):
        yield RevealAdmin(store, journal)
