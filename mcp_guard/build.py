"""The composition root: from a home to a wired guard. Nothing else constructs adapters."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_guard import __version__
from mcp_guard.config.home import SECRETS, Home
from mcp_guard.identity.directory import Directory
from mcp_guard.kit.clock import SystemClock
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import Invalid, StoreUnavailable, Unauthenticated
from mcp_guard.model.principal import Principal
from mcp_guard.model.problem import Problem
from mcp_guard.model.tool import Tool
from mcp_guard.policy.snapshot import Snapshot

if TYPE_CHECKING:
    from mcp_guard.admin.checkup import Subject
    from mcp_guard.admin.freeze import FreezeAdmin
    from mcp_guard.admin.permissions import Permissions
    from mcp_guard.admin.records import RecordReader
    from mcp_guard.admin.tokens import TokenAdmin
    from mcp_guard.admin.what_if import WhatIf
    from mcp_guard.audit.journal import Journal
    from mcp_guard.audit.query import Query
    from mcp_guard.identity.access_token import AccessTokens
    from mcp_guard.identity.authenticate import Authenticator
    from mcp_guard.identity.outward import OutwardCredentials
    from mcp_guard.identity.protected_resource import ProtectedResource
    from mcp_guard.identity.store import TokenStore
    from mcp_guard.limits.freeze import Freezes
    from mcp_guard.pipeline import Pipeline
    from mcp_guard.policy.cases import CaseResult
    from mcp_guard.policy.diff import Diff
    from mcp_guard.secrets.redact import Redactor
    from mcp_guard.store.store import Store

DRAIN_SECONDS = 8.0
"""How long a closing guard waits for calls in flight before it cancels them: less than the transports wait."""


RECOVERY_SECONDS = 30.0
"""How often a serving guard looks for intents of processes that are gone."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a home says, read and checked as a whole. Nothing is opened or written to get one."""

    home: Home
    catalog: Catalog
    policy: Snapshot
    directory: Directory

    @property
    def environment(self) -> Mapping[str, object]:
        """`r.ctx.env` of every decision."""
        return {"name": self.home.settings.environment}

    def what_if(self) -> "WhatIf":
        """Questions to this definition's policy."""
        from mcp_guard.admin.what_if import WhatIf

        return WhatIf(self.catalog, self.policy, self.environment, SystemClock())


def define(home: Home) -> Definition:
    """Load and check everything a home declares.

    Raises `Invalid` naming every problem of tools and principals, and then every one of the policy: what its rules are
    about is known only once the tools are.
    """
    from mcp_guard.manifest.load import lint as lint_tools
    from mcp_guard.policy.load import load as load_policy

    catalog, found = lint_tools(home.directory, home.settings.tools, reserved=home.reserved)
    problems = [problem for problem in found if problem.severity == "error"]
    known = None
    try:
        known = load_directory(home)
    except Invalid as error:
        problems += error.problems
    problems += _unmet_exchanges(home, catalog)
    if catalog is None or known is None or problems:
        raise Invalid(problems)
    policy = load_policy(*_policy_files(home), _tags(catalog), shown_as=_shown(home))
    return Definition(home, catalog, policy, known)


def _unmet_exchanges(home: Home, catalog: Catalog | None) -> list[Problem]:
    """Tools that ask for an exchanged token where there is nobody to exchange it."""
    from mcp_guard.manifest.tokens import tools_asking

    if catalog is None or home.settings.identity.oidc.exchange.token_endpoint is not None:
        return []
    hint = "configure identity.oidc.exchange, or use ${token:call}"
    what = "asks for ${token:exchange}, and no exchange is configured"
    return [Problem("token", what, f"tool {name}", hint=hint) for name in tools_asking(catalog, "exchange")]


def load_directory(home: Home) -> Directory:
    """The principals a home knows. Raises `Invalid`."""
    from mcp_guard.identity import directory

    principals = home.path(home.settings.policy.principals)
    return directory.load(principals if principals.exists() else None, _shown(home)(principals))


def lint_policy(home: Home) -> list[Problem]:
    """Every problem of the policy files, warnings included, held against the tools' arguments and the known people."""
    from mcp_guard.manifest.load import load as load_tools
    from mcp_guard.policy.load import lint

    catalog = load_tools(home.directory, home.settings.tools, reserved=home.reserved)
    return lint(
        *_policy_files(home),
        _tags(catalog),
        shown_as=_shown(home),
        schemas={name: _decided_schema(entry.tool) for name, entry in catalog.items()},
        principals=load_directory(home).profiles,
    )


def _decided_schema(tool: Tool) -> Mapping[str, object]:
    """The schema of what a condition sees: the client's arguments and those the guard binds."""
    schema = tool.arguments_schema
    properties = schema.get("properties", {})
    assert isinstance(properties, Mapping)
    return {**schema, "properties": {**properties, **{name: {"type": "string"} for name in tool.bind}}}


def run_policy_cases(definition: Definition, files: Sequence[Path]) -> "list[CaseResult]":
    """Run policy tests: those of `files`, or all of the home's. Raises `Invalid` where a file is not one."""
    from mcp_guard.admin.what_if import principal_of
    from mcp_guard.policy.cases import run_cases

    home = definition.home
    found = list(files) or _test_files(home)

    def who(subject: str, client: str, tenant: str) -> Principal:
        return principal_of(definition.directory, subject, client, tenant)

    return run_cases(found, definition.policy, who, environment=definition.environment, shown_as=_shown(home))


def subject_of_checkup(home: Home) -> "Subject":
    """What `mcp-guard doctor` examines of a home; nothing is read yet."""
    from mcp_guard.admin.checkup import Subject
    from mcp_guard.admin.what_if import principal_of

    local = home.settings.identity.local

    def declared(known: Directory) -> Principal | None:
        if not local.allow or local.subject is None:
            return None
        return principal_of(known, local.subject, local.client, known.profile(local.subject).tenant or local.tenant)

    model, rules = _policy_files(home)
    return Subject(
        directory=home.directory,
        tools=home.settings.tools,
        reserved=home.reserved,
        model=model,
        rules=rules,
        principals=home.path(home.settings.policy.principals),
        tests=_test_files(home),
        store=home.store,
        private=(home.keys, home.path(SECRETS)),
        environment={"name": home.settings.environment},
        variables=os.environ,
        local=declared,
        shown_as=_shown(home),
        clock=SystemClock(),
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose access tokens are believed, and what is made out to upstreams; all absent where the home wants neither."""

    resource: "ProtectedResource | None" = None
    access_tokens: "AccessTokens | None" = None
    credentials: "OutwardCredentials | None" = None
    documents: Mapping[str, bytes] = field(default_factory=dict)


def diff_policies(definition: Definition, old: Path, new: Path) -> "Diff":
    """What changes between two rules files under this home's tools, asked its policy tests first."""
    from mcp_guard.admin.what_if import principal_of
    from mcp_guard.kit import yaml
    from mcp_guard.policy.case_file import read_cases
    from mcp_guard.policy.cases import question
    from mcp_guard.policy.diff import diff
    from mcp_guard.policy.load import load

    home = definition.home
    model, _ = _policy_files(home)
    tags, shown = _tags(definition.catalog), _shown(home)

    def who(subject: str, client: str, tenant: str) -> Principal:
        return principal_of(definition.directory, subject, client, tenant)

    cases = [case for path in _policy_tests(home) for case in read_cases(yaml.load(path, shown(path)))]
    questions = [question(case, who, definition.environment) for case in cases]
    return diff(load(model, old, tags, shown_as=shown), load(model, new, tags, shown_as=shown), questions)


def _policy_tests(home: Home) -> list[Path]:
    return sorted({path for pattern in home.settings.policy.tests for path in home.directory.glob(pattern)})


@dataclass(frozen=True, slots=True)
class Guard:
    """A wired guard, as the transports and the command line see it."""

    definition: Definition
    pipeline: "Pipeline"
    journal: "Journal"
    records: "RecordReader"
    permissions: "Permissions"
    authenticator: "Authenticator"
    identity: Identity

    @property
    def name(self) -> str:
        return self.definition.home.settings.name

    def new_call_id(self) -> str:
        from mcp_guard.pipeline import new_call_id

        return new_call_id()

    def visible_tools(self, principal: Principal) -> Sequence[Tool]:
        return self.pipeline.visible_tools(principal)

    async def list_tools(self, principal: Principal) -> Sequence[Tool]:
        return await self.pipeline.list_tools(principal)

    async def call(self, principal: Principal, call: ToolCall) -> Answer:
        return await self.pipeline.call(principal, call)

    @property
    def protected_resource(self) -> "ProtectedResource | None":
        return self.identity.resource

    @property
    def documents(self) -> Mapping[str, bytes]:
        return self.identity.documents

    async def authenticate(self, token: str) -> Principal:
        return await self.authenticator.authenticate(token)

    def obtainable_scopes(self, principal: Principal, tool: str) -> Sequence[str]:
        entry, profile = self.definition.catalog.get(tool), self.definition.directory.profiles.get(principal.subject)
        needed = entry.tool.scopes if entry is not None else frozenset()
        # What the home itself withholds no issuer can give; asking for it would only send people round in circles.
        return sorted(needed) if profile is None or needed <= profile.scopes else ()

    def declare(self, subject: str | None, client: str | None) -> Principal:
        """A locally declared principal. Raises `Unauthenticated` where the home does not allow one."""
        local = self.definition.home.settings.identity.local
        if not local.allow:
            raise Unauthenticated(hint="identity.local.allow is false here; pass --token")
        chosen = subject or local.subject
        if chosen is None:
            raise Unauthenticated(hint="pass --as user:NAME")
        return self.authenticator.declared(chosen, client or local.client, local.tenant)

    async def drain(self) -> None:
        await self.pipeline.drain(DRAIN_SECONDS)

    def is_healthy(self) -> bool:
        return self.journal.health.ok

    async def note_fault(self, code: str, where: str, principal: Principal | None = None) -> None:
        who = {"sub": principal.subject, "via": principal.client} if principal else {}
        await self.journal.fault(code, where, **who)

    async def read_records(self, principal: Principal, filters: Mapping[str, str]) -> Mapping[str, object]:
        return await self.records.page(principal, filters)

    async def read_call(self, principal: Principal, call: str) -> Mapping[str, object]:
        return await self.records.call(principal, call)

    async def read_status(self, principal: Principal) -> Mapping[str, object]:
        return await self.records.status(principal)

    async def whoami(self, principal: Principal) -> Mapping[str, object]:
        roles = self.definition.policy.rules.roles.closure(principal.subject, principal.tenant, principal.roles)
        return await self.records.whoami(principal, tuple(sorted(roles - {principal.subject})))

    async def read_permissions(self, principal: Principal) -> Mapping[str, object]:
        return await self.permissions.read(principal)

    def may_read_audit(self, principal: Principal) -> bool:
        return self.records.may_read(principal)

    def may_see_self(self, principal: Principal) -> bool:
        return self.records.may_see_self(principal)

    def may_see_permissions(self, principal: Principal) -> bool:
        return self.permissions.may_see(principal)


@asynccontextmanager
async def open_guard(home: Home, *, serving: bool, verbosity: int = 0) -> AsyncIterator[Guard]:
    """A guard on an open store, drained and closed with the block. A serving one also closes what dead ones left open.

    Raises `Invalid` for a broken home, `StoreUnavailable` for a store that cannot be written; nothing is served then.
    """
    from mcp_guard.secrets.redact import Redactor
    from mcp_guard.telemetry.log import configure

    definition = define(home)
    redactor = Redactor()
    configure(verbose=verbosity, as_json=False, redact=redactor.text)
    async with (
        _open_journal(home, redactor) as (store, journal),
        _open_identity(definition, redactor) as identity,
        _open_pipeline(definition, store, journal, redactor, identity) as pipeline,
    ):
        guard = _wire(definition, store, journal, pipeline, identity)
        if serving:
            recovered = await journal.recover()
            await journal.boot(_boot_state(definition, recovered))
        recovering = asyncio.create_task(_recover_for_ever(journal)) if serving else None
        try:
            yield guard
        finally:
            if recovering is not None:
                recovering.cancel()
        await pipeline.drain(DRAIN_SECONDS)
        if serving:
            await journal.shutdown({"what": "stopped"})


async def _recover_for_ever(journal: "Journal") -> None:
    """Close what other processes leave open when they die, while this one lives."""
    while True:
        await asyncio.sleep(RECOVERY_SECONDS)
        with suppress(StoreUnavailable):
            await journal.recover()


def _boot_state(definition: Definition, recovered: int) -> Mapping[str, object]:
    return {
        "what": "started",
        "version": __version__,
        "policy": definition.policy.version,
        "tools": len(definition.catalog),
        "recovered": recovered,
    }


def _wire(
    definition: Definition, store: "Store", journal: "Journal", pipeline: "Pipeline", identity: Identity
) -> Guard:
    from mcp_guard.admin.permissions import Permissions
    from mcp_guard.admin.records import RecordReader
    from mcp_guard.audit.query import Query
    from mcp_guard.identity.authenticate import Authenticator
    from mcp_guard.identity.store import TokenStore
    from mcp_guard.limits.freeze import NO_TOOL, Freezes

    freezes, version = Freezes(store), definition.policy.version
    records = RecordReader(pipeline.decide, lambda who: freezes.decision(who, NO_TOOL, version), Query(store), journal)
    tokens = TokenStore(store)
    authenticator = Authenticator(definition.directory, tokens.find, SystemClock(), identity.access_tokens)
    permissions = Permissions(
        decide=pipeline.decide,
        visible_tools=pipeline.visible_tools,
        policy=definition.policy,
        freezes=freezes,
        journal=journal,
        environment=definition.environment,
        clock=SystemClock(),
    )
    return Guard(definition, pipeline, journal, records, permissions, authenticator, identity)


@asynccontextmanager
async def _open_identity(definition: Definition, redactor: "Redactor") -> AsyncIterator[Identity]:
    """Nothing is fetched before the first access token, nothing made unless a tool asks for it."""
    from mcp_guard.manifest.tokens import tools_asking

    settings = definition.home.settings
    wants_credentials = bool(tools_asking(definition.catalog))
    if settings.identity.oidc.issuer is None and not wants_credentials:
        yield Identity()
        return
    from mcp_guard.config.oidc import access_tokens_of, credentials_of, resource_of
    from mcp_guard.connect.documents import Documents
    from mcp_guard.connect.egress import Egress
    from mcp_guard.identity.protected_resource import KEYS_PATH
    from mcp_guard.secrets.references import Resolver

    egress, resource, clock = Egress(), resource_of(settings), SystemClock()
    outside = Documents(egress, settings.identity.oidc.networks)
    resolve = Resolver(definition.home.directory, os.environ, redactor).resolve
    access_tokens = access_tokens_of(settings, definition.directory, outside.get, clock)
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
async def _open_journal(home: Home, redactor: "Redactor") -> "AsyncIterator[tuple[Store, Journal]]":
    from mcp_guard.audit.journal import Journal
    from mcp_guard.store.store import Store

    store = Store.open(home.store, home.settings.name, clock=SystemClock())
    try:
        journal = Journal(store, redact=redactor.value)
        try:
            yield store, journal
        finally:
            await journal.aclose()
    finally:
        await store.aclose()


@asynccontextmanager
async def _open_pipeline(
    definition: Definition, store: "Store", journal: "Journal", redactor: "Redactor", identity: Identity
) -> "AsyncIterator[Pipeline]":
    from mcp_guard.connect.factory import Means, connect
    from mcp_guard.limits.freeze import Freezes
    from mcp_guard.pipeline import Pipeline

    async with AsyncExitStack() as stack:
        issue = identity.credentials.issue if identity.credentials else None
        means = await stack.enter_async_context(Means.open(definition.home.directory, redactor, issue=issue))
        connectors = {}
        for name, entry in definition.catalog.items():
            connectors[name] = connector = connect(entry.tool, means)
            stack.push_async_callback(connector.aclose)
        yield Pipeline(
            catalog=definition.catalog,
            policy=definition.policy,
            freezes=Freezes(store),
            journal=journal,
            connectors=connectors,
            redact=redactor.value,
            environment=definition.environment,
            clock=SystemClock(),
        )


@asynccontextmanager
async def open_tokens(home: Home, directory: Directory) -> "AsyncIterator[TokenAdmin]":
    """Token use-cases on this home's store. A home whose tools or policy are broken can still revoke."""
    from mcp_guard.admin.tokens import TokenAdmin
    from mcp_guard.identity.store import TokenStore
    from mcp_guard.secrets.redact import Redactor

    async with _open_journal(home, Redactor()) as (store, journal):
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

    async with _open_journal(home, Redactor()) as (store, journal):
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


def _policy_files(home: Home) -> tuple[Path, Path]:
    policy = home.settings.policy
    return home.path(policy.model), home.path(policy.rules)


def _test_files(home: Home) -> list[Path]:
    return sorted({path for pattern in home.settings.policy.tests for path in home.directory.glob(pattern)})


def _tags(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    return {name: entry.tool.tags for name, entry in catalog.items()}


def _shown(home: Home) -> Callable[[Path], str]:
    """Files in problems as a person in the home would type them."""

    def shown(path: Path) -> str:
        return path.relative_to(home.directory).as_posix() if path.is_relative_to(home.directory) else str(path)

    return shown
