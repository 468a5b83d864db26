"""The requester's own confirmation where their client can ask them: what is shown, what counts as a yes, and what
follows.

It is a channel of an ordinary approval: the row, its vote and its records are those of any other, and what is not
answered here waits for the requester to answer elsewhere.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from mcp_guard.admin.approvals import Approvals
from mcp_guard.admin.tasks import Tasks
from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.approval.rules import shortfall
from mcp_guard.inline import Inline
from mcp_guard.kit import strict_json
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.call import Answer
from mcp_guard.model.errors import Refused, StoreUnavailable, UsageError
from mcp_guard.model.moves import ApprovalState, StepState, TaskStatus
from mcp_guard.model.principal import Principal
from mcp_guard.tasks.task import Task

FIELD: Final = "confirm"
YES: Final = "yes"
NO: Final = "no"
FORM: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {
        FIELD: {
            "type": "string",
            "title": "Do this?",
            "description": "yes carries it out; anything else leaves it waiting",
            "enum": [NO, YES],
        }
    },
    "required": [FIELD],
}
"""What a client is asked to show. Forms that are accepted unseen come back empty or with the first choice: both are no
yes."""
MOST_QUESTIONS: Final = 3
"""How often one process has one call put to a person who does not answer: a model that asks on and on must not get
its yes from somebody's weariness."""
_MOST_KNOWN = 10_000

_Kept = TypeVar("_Kept")


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked to confirm. `message` is made from the bound values, one quoted line each. `about` is the
    same for the same call of the same requester, also once it was withdrawn and asked for anew."""

    approval: str
    about: str
    message: str


@dataclass(slots=True)
class Asked:
    """How often calls (`Question.about`) were put to people by this process, and which of them are put now."""

    open: set[str] = field(default_factory=set)
    _times: "OrderedDict[str, int]" = field(default_factory=OrderedDict)
    _standing: "OrderedDict[str, bool]" = field(default_factory=OrderedDict)

    def may_ask(self, about: str) -> bool:
        return about not in self.open and self._times.get(about, 0) < MOST_QUESTIONS

    def asks(self, about: str) -> None:
        _keep(self._times, about, self._times.get(about, 0) + 1)

    def stands(self, question: "Question") -> bool:
        """Whether a question stands in its task, where the client finds it whenever it looks. That is asking once, and
        whoever said no does not find it again."""
        if question.approval not in self._standing and self.may_ask(question.about):
            self.asks(question.about)
            _keep(self._standing, question.approval, True)
        return self._standing.get(question.approval, False)

    def was_declined(self, question: "Question") -> bool:
        """Whether somebody said no to a question where it stood."""
        return not self._standing.get(question.approval, True)

    def declined(self, question: "Question") -> None:
        """Somebody said no: they are not asked again here. The approval stays pending for other channels."""
        _keep(self._times, question.about, MOST_QUESTIONS)
        _keep(self._standing, question.approval, False)


def _keep(what: "OrderedDict[str, _Kept]", key: str, value: _Kept) -> None:
    what[key] = value
    what.move_to_end(key)
    while len(what) > _MOST_KNOWN:
        what.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Confirming:
    """Puts confirmations to whoever asked, and counts what they say. A request stays open for it for `seconds`, where
    that is how a client is asked."""

    approvals: Approvals
    tasks: Tasks
    inline: Inline
    seconds: float
    asked: Asked = field(default_factory=Asked)

    async def question(self, principal: Principal, identifier: str) -> Question | None:
        """What this principal, through this client, may confirm of a task of theirs now; `None` for anything else."""
        try:
            task = await self.tasks.seen(principal, identifier)
            request = None if task is None else await self._waiting(task)
        except StoreUnavailable:
            return None
        if task is None or request is None or not task.belongs_to(principal):
            return None
        now = self.approvals.clock.now_us()
        is_open = request.state is ApprovalState.PENDING and request.expires_at > now
        if not is_open or not request.is_confirmation:
            return None
        if self.approvals.deciders.objection(principal, request, "elicitation") or shortfall(request, principal):
            return None
        return Question(request.id, self._same(task, request), self._message(request))

    async def confirmed(self, principal: Principal, answer: Answer, question: Question) -> Answer:
        """Count the yes of a person, and answer the call with what follows within `inline_wait`. It keeps its receipt.

        Somebody who may not confirm it (any more) has the answer as it was.
        """
        task = await self.counted(principal, question)
        return answer if task is None else await self.inline.follow(answer, task)

    async def counted(self, principal: Principal, question: Question) -> str | None:
        """Count the yes of a person; the task that goes on. `None` where they may not confirm it (any more)."""
        try:
            return (await self.approvals.decide(principal, question.approval, "approved", "elicitation")).task
        except (Refused, UsageError, StoreUnavailable):
            return None

    async def told(self, answer: Answer, identifier: str) -> Answer:
        """The answer with what became of a task, waiting for it as for any running work."""
        return answer if answer.is_error else await self.inline.follow(answer, identifier)

    async def settled(self, principal: Principal, approval: str) -> str | None:
        """The task of a confirmation of the principal's that is not open any more, whoever closed it."""
        try:
            request = await self.approvals.find(approval)
            task = await self.tasks.seen(principal, request.task)
        except (UsageError, StoreUnavailable):
            return None
        own = task is not None and task.belongs_to(principal) and request.is_confirmation
        return request.task if own and request.state is not ApprovalState.PENDING else None

    async def _waiting(self, task: Task) -> ApprovalRequest | None:
        """The request that a task waits for, if it waits for people."""
        if task.status is not TaskStatus.INPUT_REQUIRED:
            return None
        steps = await self.tasks.parking.tasks.steps(task.id)
        waiting = next((step for step in steps if step.state is StepState.WAITING), None)
        return None if waiting is None else await self.tasks.parking.approvals.of_step(task.id, waiting.id)

    def _same(self, task: Task, request: ApprovalRequest) -> str:
        """What the question is about, whatever the ids of task and approval: a keyed digest."""
        parking = self.tasks.parking
        who = [request.requester, request.client, request.tenant]
        said = ["form", who, request.tool, request.step, dict(parking.content(task).arguments)]
        return parking.vault().digest(strict_json.dumps(said))

    def _message(self, request: ApprovalRequest) -> str:
        until = as_datetime(request.expires_at).isoformat(timespec="minutes")
        why = [f"Why you are asked: {request.reason}"] if self.tasks.refusals == "why" else []
        then = ["Others are asked afterwards."] if request.further else []
        head = "Your agent wants this done in your name. The values below were written by it or for it:"
        return "\n".join([head, "", *request.summary, "", *why, *then, f"Unanswered, it waits until {until}."])
