"""The composition root: from a home to a wired guard. Nothing else constructs adapters."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_guard import __version__
from mcp_guard.config.home import Home
from mcp_guard.identity.directory import Directory
from mcp_guard.kit.clock import SystemClock
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import Invalid, Unauthenticated
from mcp_guard.model.principal import Principal
from mcp_guard.model.problem import Problem
from mcp_guard.model.tool import Tool
from mcp_guard.policy.snapshot import Snapshot

if TYPE_CHECKING:
    from mcp_guard.admin.records import RecordReader
    from mcp_guard.admin.tokens import TokenAdmin
    from mcp_guard.admin.what_if import WhatIf
    from mcp_guard.audit.journal import Journal
    from mcp_guard.audit.query import Query
    from mcp_guard.identity.authenticate import Authenticator
    from mcp_guard.identity.store import TokenStore
    from mcp_guard.pipeline import Pipeline
    from mcp_guard.policy.cases import CaseResult
    from mcp_guard.secrets.redact import Redactor
    from mcp_guard.store.store import Store

DRAIN_SECONDS = 10.0
"""How long a closing guard waits for calls in flight before it cancels them."""


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
    if catalog is None or known is None:
        raise Invalid(problems)
    policy = load_policy(*_policy_files(home), _tags(catalog), shown_as=_shown(home))
    return Definition(home, catalog, policy, known)


def load_directory(home: Home) -> Directory:
    """The principals a home knows. Raises `Invalid`."""
    from mcp_guard.identity import directory

    principals = home.path(home.settings.policy.principals)
    return directory.load(principals if principals.exists() else None, _shown(home)(principals))


def lint_policy(home: Home) -> list[Problem]:
    """Every problem of the policy files, warnings included."""
    from mcp_guard.manifest.load import load as load_tools
    from mcp_guard.policy.load import lint

    catalog = load_tools(home.directory, home.settings.tools, reserved=home.reserved)
    return lint(*_policy_files(home), _tags(catalog), shown_as=_shown(home))


def run_policy_cases(definition: Definition, files: Sequence[Path]) -> "list[CaseResult]":
    """Run policy tests: those of `files`, or all of the home's. Raises `Invalid` where a file is not one."""
    from mcp_guard.admin.what_if import principal_of
    from mcp_guard.policy.cases import run_cases

    home = definition.home
    found = list(files) or sorted(
        {path for pattern in home.settings.policy.tests for path in home.directory.glob(pattern)}
    )

    def who(subject: str, client: str, tenant: str) -> Principal:
        return principal_of(definition.directory, subject, client, tenant)

    return run_cases(found, definition.policy, who, environment=definition.environment, shown_as=_shown(home))


@dataclass(frozen=True, slots=True)
class Guard:
    """A wired guard, as the transports and the command line see it."""

    definition: Definition
    pipeline: "Pipeline"
    journal: "Journal"
    records: "RecordReader"
    authenticator: "Authenticator"

    @property
    def name(self) -> str:
        return self.definition.home.settings.name

    def new_call_id(self) -> str:
        from mcp_guard.pipeline import new_call_id

        return new_call_id()

    def visible_tools(self, principal: Principal) -> Sequence[Tool]:
        return self.pipeline.visible_tools(principal)

    def input_schema(self, tool: str) -> Mapping[str, object] | None:
        entry = self.definition.catalog.get(tool)
        return None if entry is None else entry.tool.input_schema

    async def call(self, principal: Principal, call: ToolCall) -> Answer:
        return await self.pipeline.call(principal, call)

    def authenticate(self, token: str) -> Principal:
        return self.authenticator.bearer(token)

    def declare(self, subject: str | None, client: str | None) -> Principal:
        """A locally declared principal. Raises `Unauthenticated` where the home does not allow one."""
        local = self.definition.home.settings.identity.local
        if not local.allow:
            raise Unauthenticated(hint="identity.local.allow is false here; pass --token")
        chosen = subject or local.subject
        if chosen is None:
            raise Unauthenticated(hint="pass --as user:NAME")
        return self.authenticator.declared(chosen, client or local.client, local.tenant)

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

    def may_read_audit(self, principal: Principal) -> bool:
        return self.records.may_read(principal)

    def may_see_self(self, principal: Principal) -> bool:
        return self.records.may_see_self(principal)


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
        _open_pipeline(definition, journal, redactor) as pipeline,
    ):
        guard = _wire(definition, store, journal, pipeline)
        if serving:
            recovered = await journal.recover()
            await journal.boot(_boot_state(definition, recovered))
        yield guard
        await pipeline.drain(DRAIN_SECONDS)
        if serving:
            await journal.shutdown({"what": "stopped"})


def _boot_state(definition: Definition, recovered: int) -> Mapping[str, object]:
    return {
        "what": "started",
        "version": __version__,
        "policy": definition.policy.version,
        "tools": len(definition.catalog),
        "recovered": recovered,
    }


def _wire(definition: Definition, store: "Store", journal: "Journal", pipeline: "Pipeline") -> Guard:
    from mcp_guard.admin.records import RecordReader
    from mcp_guard.audit.query import Query
    from mcp_guard.identity.authenticate import Authenticator
    from mcp_guard.identity.store import TokenStore

    records = RecordReader(pipeline.decide, Query(store), journal)
    authenticator = Authenticator(definition.directory, TokenStore(store).find, SystemClock())
    return Guard(definition, pipeline, journal, records, authenticator)


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
async def _open_pipeline(definition: Definition, journal: "Journal", redactor: "Redactor") -> "AsyncIterator[Pipeline]":
    from mcp_guard.connect.factory import Means, connect
    from mcp_guard.pipeline import Pipeline

    async with AsyncExitStack() as stack:
        means = await stack.enter_async_context(Means.open(definition.home.directory, redactor))
        connectors = {}
        for name, entry in definition.catalog.items():
            connectors[name] = connector = connect(entry.tool, means)
            stack.push_async_callback(connector.aclose)
        yield Pipeline(
            catalog=definition.catalog,
            policy=definition.policy,
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


def _tags(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    return {name: entry.tool.tags for name, entry in catalog.items()}


def _shown(home: Home) -> Callable[[Path], str]:
    """Files in problems as a person in the home would type them."""

    def shown(path: Path) -> str:
        return path.relative_to(home.directory).as_posix() if path.is_relative_to(home.directory) else str(path)

    return shown
