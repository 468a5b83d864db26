"""What the adapter needs of a guard; the composition root hands it in."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from mcp_guard.admin.feed import Who
from mcp_guard.admin.records import Completion
from mcp_guard.confirming import Confirming, Question
from mcp_guard.manifest.readable import Reading
from mcp_guard.model.back_channel import Ask, Report
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import Primitive, Tool


class Listed(Protocol):
    """A tool as clients are told of it: one of a manifest, or one of the guard's own."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str | None: ...
    @property
    def description(self) -> str: ...
    @property
    def annotations(self) -> Mapping[str, object]: ...
    @property
    def input_schema(self) -> Mapping[str, object]: ...
    @property
    def output_schema(self) -> Mapping[str, object] | None: ...


class Surface(Protocol):
    """A guard as seen from the wire."""

    @property
    def name(self) -> str:
        """The server's name."""
        ...

    def new_call_id(self) -> str:
        """A fresh, unguessable call id."""
        ...

    async def list_tools(self, principal: Principal) -> Sequence[Listed]:
        """The tools policy lets this principal see, in a fixed order, once that is on record.

        Raises `StoreUnavailable` where it cannot be.
        """
        ...

    def offers(self, what: Primitive) -> bool:
        """Whether the home has anything of a kind, for whomever."""
        ...

    async def list_offers(self, principal: Principal, what: Primitive) -> Sequence[Tool]:
        """What of other servers' resources, templates or prompts policy lets this principal see, by name, once that is
        on record. Raises `StoreUnavailable`."""
        ...

    def find_resource(self, uri: str) -> Reading | None:
        """What is meant by a URI of another server's, for whomever."""
        ...

    def find_template(self, uri: str) -> str | None:
        """What is called by another server's template, for whomever."""
        ...

    def redacted_tools(self) -> Collection[str]:
        """The tools of whose results policy hides something, from somebody."""
        ...

    async def note_fault(self, code: str, where: str, principal: Principal | None = None) -> None:
        """Record that something was refused before it became a call."""
        ...

    async def connected_within(self, principal: Principal, upstream: str, seconds: float) -> bool:
        """Whether the principal has an account connected at an upstream before so many seconds have passed."""
        ...

    def may_ask(self, tool: str) -> bool:
        """Whether a tool is another server's that may have people asked something during its calls."""
        ...

    async def call(
        self, principal: Principal, call: ToolCall, report: Report | None = None, ask: Ask | None = None
    ) -> Answer:
        """Carry out one governed call, telling `report` how far it is: the task that is waited for, or what
        another server says of its own tool. `ask` puts what such a server asks to the person.

        Raises `UnknownTool` for what is not there or not for this principal.
        """
        ...

    @property
    def confirming(self) -> Confirming:
        """What waits for the requester's own confirmation, to be put to them by their client."""
        ...

    async def confirm(
        self, principal: Principal, answer: Answer, question: Question, report: Report | None = None
    ) -> Answer:
        """Count the yes of the person who was asked; the answer of their call with what follows."""
        ...

    async def confirmed_before(
        self, principal: Principal, call: ToolCall, approval: str, report: Report | None = None
    ) -> Answer | None:
        """The answer of a call that is sent again with a confirmation that is not open any more: what became of it."""
        ...

    def request_state_key(self) -> bytes:
        """The secret that request states are sealed with: the same in every process of a home, and after a restart.

        Raises `StoreUnavailable`.
        """
        ...

    def obtainable_scopes(self, principal: Principal, tool: str) -> Sequence[str]:
        """The scopes a tool needs, where the client can get them from its issuer; else none."""
        ...

    async def read_records(self, principal: Principal, filters: Mapping[str, str]) -> Mapping[str, object]:
        """A page of the audit log as far as policy lets this principal read it. Raises `Refused`, `UsageError`."""
        ...

    async def read_call(self, principal: Principal, call: str) -> Mapping[str, object]:
        """Every record of one call. Raises `Refused`."""
        ...

    async def watch_records(
        self, who: Who, filters: Mapping[str, str], changed: Callable[[], None], ended: Callable[[], None]
    ) -> Callable[[], None]:
        """Tell of new records a principal may read, until what is returned is called. Raises `Refused`, `UsageError`,
        `TooManySubscriptions`."""
        ...

    async def read_task(self, principal: Principal, identifier: str) -> Mapping[str, object]:
        """A task with its steps. Raises `Refused`, also for one that is not there."""
        ...

    async def read_result(self, principal: Principal, identifier: str, page: int) -> Mapping[str, object]:
        """A page of a result that was kept for this principal. Raises `Refused`, also for one that is not there."""
        ...

    async def begun_task(self, principal: Principal, identifier: str) -> Mapping[str, object] | None:
        """A task as it stands, for the answer of the very call that became it; nothing of its result."""
        ...

    async def note_task(self, principal: Principal, identifier: str) -> None:
        """Record that somebody referred to a task. Raises `Refused`, also for one that is not there."""
        ...

    async def watch_task(
        self, who: Who, identifier: str, changed: Callable[[], None], ended: Callable[[], None]
    ) -> Callable[[], None]:
        """Tell whenever a task moves, until what is returned is called. Raises `Refused`, `TooManySubscriptions`."""
        ...

    async def complete(self, principal: Principal, name: str, start: str) -> Completion:
        """Values of a filter from records the principal may read. Raises `Refused`."""
        ...

    async def read_status(self, principal: Principal) -> Mapping[str, object]:
        """The state of the audit log. Raises `Refused`."""
        ...

    async def read_checkpoint(self, principal: Principal) -> Mapping[str, object]:
        """The newest signed note about the audit log. Raises `Refused`."""
        ...

    async def read_proof(self, principal: Principal, n: int) -> Mapping[str, object] | None:
        """The proof that a record stands in the signed log; nothing for one the principal may not read.

        Raises `Refused`, `UsageError`.
        """
        ...

    async def whoami(self, principal: Principal) -> Mapping[str, object]:
        """The principal as the guard sees it. Raises `Refused`."""
        ...

    async def read_permissions(self, principal: Principal) -> Mapping[str, object]:
        """What the principal may do with every tool they can list. Raises `Refused`."""
        ...

    async def read_usage(self, principal: Principal) -> Mapping[str, object]:
        """What of the limits is used, as far as the principal may know. Raises `Refused`."""
        ...

    def may_see_usage(self, principal: Principal) -> bool:
        """Whether policy lets the principal read `guard://usage`, for listing."""
        ...

    def may_read_audit(self, principal: Principal) -> bool:
        """Whether policy lets the principal read the audit log at all, for listing."""
        ...

    def may_see_self(self, principal: Principal) -> bool:
        """Whether policy lets the principal read `guard://whoami`, for listing."""
        ...

    def may_see_permissions(self, principal: Principal) -> bool:
        """Whether policy lets the principal read `guard://permissions`, for listing."""
        ...
