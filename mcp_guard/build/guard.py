"""A wired guard: what the transports and the command line talk to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mcp_guard.build.definition import Definition
from mcp_guard.build.live import Live
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import StoreUnavailable, Unauthenticated
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import Primitive, Tool

if TYPE_CHECKING:
    from mcp_guard.admin.approvals import Approvals
    from mcp_guard.admin.connected import Connected
    from mcp_guard.admin.consenting import Consenting
    from mcp_guard.admin.feed import RecordFeed, Who
    from mcp_guard.admin.grants import Grants
    from mcp_guard.admin.own_tools import OwnTool, OwnTools
    from mcp_guard.admin.permissions import Permissions
    from mcp_guard.admin.records import Completion, RecordReader
    from mcp_guard.admin.result_reading import ResultReader
    from mcp_guard.admin.task_reading import TaskReader
    from mcp_guard.admin.tasks import Tasks
    from mcp_guard.admin.usage import UsageReader
    from mcp_guard.audit.journal import Journal
    from mcp_guard.confirming import Confirming, Question
    from mcp_guard.identity.access_token import AccessTokens
    from mcp_guard.identity.authenticate import Authenticator
    from mcp_guard.identity.outward import OutwardCredentials
    from mcp_guard.identity.protected_resource import ProtectedResource
    from mcp_guard.inline import Inline
    from mcp_guard.manifest.readable import Reading
    from mcp_guard.model.back_channel import Ask, Report
    from mcp_guard.pipeline import Pipeline
    from mcp_guard.progress import Progress
    from mcp_guard.runner import Runner

DRAIN_SECONDS = 8.0
"""How long a closing guard waits for calls in flight before it cancels them: less than the transports wait."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose access tokens are believed, and what is made out to upstreams; all absent where the home wants neither."""

    resource: "ProtectedResource | None" = None
    access_tokens: "AccessTokens | None" = None
    credentials: "OutwardCredentials | None" = None
    documents: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Guard:
    """A wired guard, as the transports and the command line see it."""

    live: Live
    pipeline: "Pipeline"
    journal: "Journal"
    records: "RecordReader"
    feed: "RecordFeed"
    permissions: "Permissions"
    usage: "UsageReader"
    authenticator: "Authenticator"
    identity: Identity
    connected: "Connected"
    runner: "Runner"
    inline: "Inline"
    tasks: "Tasks"
    approvals: "Approvals"
    grants: "Grants"
    own_tools: "OwnTools"
    task_reader: "TaskReader"
    results: "ResultReader"
    confirming: "Confirming"
    progress: "Progress"
    others_serve: Callable[[], bool]

    @property
    def definition(self) -> Definition:
        """What the home declares, as it is in force now."""
        return self.live.definition

    @property
    def name(self) -> str:
        return self.definition.home.settings.name

    def new_call_id(self) -> str:
        from mcp_guard.pipeline import new_call_id

        return new_call_id()

    def visible_tools(self, principal: Principal) -> Sequence[Tool]:
        return self.pipeline.visible_tools(principal)

    async def list_tools(self, principal: Principal) -> "Sequence[Tool | OwnTool]":
        own = self.own_tools.listed(principal)
        visible = await self.pipeline.list_tools(principal, [tool.name for tool in own])
        return sorted([*visible, *own], key=lambda tool: tool.name)

    def offers(self, what: Primitive) -> bool:
        return bool(self.definition.catalog.of(what))

    async def list_offers(self, principal: Principal, what: Primitive) -> Sequence[Tool]:
        return await self.pipeline.list_tools(principal, of=(what,)) if self.offers(what) else []

    def find_resource(self, uri: str) -> "Reading | None":
        return self.definition.catalog.readable.find(uri)

    def find_template(self, uri: str) -> str | None:
        return self.definition.catalog.readable.template(uri)

    def redacted_tools(self) -> frozenset[str]:
        from mcp_guard.policy.redacting import redacted_tools

        return redacted_tools(self.definition.policy.rules)

    async def connected_within(self, principal: Principal, upstream: str, seconds: float) -> bool:
        return await self.connected.within(principal, upstream, seconds)

    def may_ask(self, tool: str) -> bool:
        entry = self.definition.catalog.get(tool)
        return entry is not None and entry.tool.patience > 0

    async def call(
        self, principal: Principal, call: ToolCall, report: "Report | None" = None, ask: "Ask | None" = None
    ) -> Answer:
        if self.own_tools.is_for(principal, call.tool):
            asked = None if report is None else await self._asked_about(principal, call)
            async with self.progress.told(asked, report):
                begun = await self.own_tools.call(principal, call)
        else:
            from mcp_guard.relaying import relayed  # asyncio is not for commands that only look

            async with relayed(report) as back:
                begun = await self.pipeline.call(principal, call, back=replace(back, ask=ask))
        async with self.progress.told(begun.task, report):
            answer = await self.inline.answer(begun)
        return await self._with_news(principal, answer, begun.task)

    async def _asked_about(self, principal: Principal, call: ToolCall) -> str | None:
        """The task of the principal's to see that a call waits for, if it does."""
        from mcp_guard.admin.own_tools import TASK_STATUS

        identifier = call.arguments.get("task_id")
        if call.tool != TASK_STATUS.name or not isinstance(identifier, str):
            return None
        try:
            return None if await self.tasks.seen(principal, identifier) is None else identifier
        except StoreUnavailable:
            return None

    async def _with_news(self, principal: Principal, answer: Answer, own: str | None) -> Answer:
        ended = await self.tasks.finished(principal) if answer.receipt is not None else ()
        # A task this very answer tells the end of is no news beside it.
        finished = tuple(one for one in ended if one.task != own)
        return replace(answer, finished=finished) if finished else answer

    async def confirm(
        self, principal: Principal, answer: Answer, question: "Question", report: "Report | None" = None
    ) -> Answer:
        async with self.progress.told(answer.task, report):
            confirmed = await self.confirming.confirmed(principal, answer, question)
        return await self._with_news(principal, confirmed, answer.task)

    async def confirmed_before(
        self, principal: Principal, call: ToolCall, approval: str, report: "Report | None" = None
    ) -> Answer | None:
        from mcp_guard.admin.own_tools import TASK_STATUS

        task = await self.confirming.settled(principal, approval)
        if task is None:
            return None
        asking = replace(call, tool=TASK_STATUS.name, arguments={"task_id": task})  # on record as the question it is
        answer = await self.call(principal, asking)
        async with self.progress.told(task, report):
            return await self.confirming.told(answer, task)

    def request_state_key(self) -> bytes:
        return self.tasks.parking.vault().derived("request state")

    @property
    def protected_resource(self) -> "ProtectedResource | None":
        return self.identity.resource

    @property
    def documents(self) -> Mapping[str, bytes]:
        return self.identity.documents

    @property
    def consenting(self) -> "Consenting":
        return self.connected.consenting

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

    def somebody_serves(self) -> bool:
        """Whether another process serves this store, and so carries tasks on."""
        return self.others_serve()

    async def watch_records(
        self, who: "Who", filters: Mapping[str, str], changed: Callable[[], None], ended: Callable[[], None]
    ) -> Callable[[], None]:
        return await self.feed.subscribe(who, filters, changed, ended)

    async def read_task(self, principal: Principal, identifier: str) -> Mapping[str, object]:
        return await self.task_reader.read(principal, identifier)

    async def read_result(self, principal: Principal, identifier: str, page: int) -> Mapping[str, object]:
        return await self.results.read(principal, identifier, page)

    async def begun_task(self, principal: Principal, identifier: str) -> Mapping[str, object] | None:
        task = await self.tasks.seen(principal, identifier)
        return None if task is None else self.tasks.head(task)

    async def note_task(self, principal: Principal, identifier: str) -> None:
        await self.task_reader.note(principal, identifier)

    async def watch_task(
        self, who: "Who", identifier: str, changed: Callable[[], None], ended: Callable[[], None]
    ) -> Callable[[], None]:
        from mcp_guard.admin.task_reading import TaskTopic

        return await self.feed.follow(who, TaskTopic(self.task_reader, identifier), changed, ended)

    async def complete(self, principal: Principal, name: str, start: str) -> "Completion":
        return await self.records.complete(principal, name, start)

    async def drain(self) -> None:
        await self.feed.aclose()
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

    async def read_checkpoint(self, principal: Principal) -> Mapping[str, object]:
        return await self.records.checkpoint(principal)

    async def read_proof(self, principal: Principal, n: int) -> Mapping[str, object] | None:
        return await self.records.proof(principal, n)

    async def whoami(self, principal: Principal) -> Mapping[str, object]:
        roles = self.definition.policy.rules.roles.closure(principal.subject, principal.tenant, principal.roles)
        return await self.records.whoami(principal, tuple(sorted(roles - {principal.subject})))

    async def read_permissions(self, principal: Principal) -> Mapping[str, object]:
        return await self.permissions.read(principal)

    async def read_usage(self, principal: Principal) -> Mapping[str, object]:
        return await self.usage.read(principal)

    def may_see_usage(self, principal: Principal) -> bool:
        return self.usage.may_see(principal)

    def may_read_audit(self, principal: Principal) -> bool:
        return self.records.may_read(principal)

    def may_see_self(self, principal: Principal) -> bool:
        return self.records.may_see_self(principal)

    def may_see_permissions(self, principal: Principal) -> bool:
        return self.permissions.may_see(principal)
