"""One step of a task, carried out: a call through the pipeline, a question to people, or an end.

What a step did and where that leaves its task commit together with the record that says so.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from mcp_guard.approval.request import ApprovalRequest, binding
from mcp_guard.approval.store import NotApproved
from mcp_guard.generation import InForce
from mcp_guard.kit import places, strict_json
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.kit.text import visible
from mcp_guard.manifest.catalog import Entry
from mcp_guard.manifest.schemas import JUSTIFICATION
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.decision import AskedNow
from mcp_guard.model.errors import Refused, UnknownTool
from mcp_guard.model.moves import StepState, TaskStatus
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import CallStep, WorkflowSpec
from mcp_guard.parking import Parking, new_id, waiting_for
from mcp_guard.questioning import Asking, Questions
from mcp_guard.store.transaction import Transaction, Work, together
from mcp_guard.tasks import interpreter, probing
from mcp_guard.tasks.carried import ApprovalWait, Carried, Ended, Storing
from mcp_guard.tasks.interpreter import Break, Fail, Finish, Skip
from mcp_guard.tasks.plan import CALL
from mcp_guard.tasks.task import Content, Step, Task, deadline_of
from mcp_guard.tasks.templates import Missing

UNKNOWN = "it is not known whether an earlier attempt took effect"
IN_DOUBT = f"{UNKNOWN}; an operator has to say"


class Call(Protocol):
    async def __call__(self, principal: Principal, call: ToolCall, carried: Carried | None = None) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Doing:
    """A call about to be made for a task. `row` is its step as it is journaled, if it is; `undoes` the one it takes
    back; `request` the approval it has. `steps` are all of the task where it was worked out before they are stored."""

    task: Task
    content: Content
    step: CallStep
    arguments: Mapping[str, object]
    row: Step | None
    request: ApprovalRequest | None = None
    undoes: Step | None = None
    steps: Collection[Step] | None = None

    @property
    def is_call(self) -> bool:
        """Whether it is what was asked for itself, and not a step of it."""
        return self.step.id == CALL

    @property
    def is_whole(self) -> bool:
        """Whether the task ends with it."""
        return self.content.workflow is None and self.is_call

    @property
    def goes_ahead(self) -> bool:
        """Whether nobody is answered with its outcome, so that the next step need not wait until it is stored."""
        return not (self.content.workflow is None or self.is_call or self.undoes or probing.is_probe(self.step.id))

    @property
    def state(self) -> StepState | None:
        return None if self.row is None else self.row.state


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made. `wait` is in how many seconds one may be made that a rate did not let through yet.

    `storing` is its outcome on the way into the store, `row` its step as it is once that is there; without it all is
    stored, and the rows say what became of it.
    """

    wait: int | None = None
    row: Step | None = None
    result: Mapping[str, object] = field(default_factory=dict)
    storing: Storing | None = None


@dataclass(frozen=True, slots=True)
class Carrying:
    """Moves tasks by one step. Every method raises `StoreUnavailable`, and `Moved` where somebody was quicker."""

    parking: Parking
    in_force: InForce
    questions: Questions
    call: Call
    clock: Clock

    async def run(self, doing: Doing) -> Made:
        """Take a call through the pipeline."""
        task, step, content = doing.task, doing.step, doing.content
        made = Made()

        def end(ended: Ended) -> Work:
            nonlocal made
            final = self._final(doing, started, ended)
            made = Made(ended.wait, final, ended.structured)
            return self._ending(doing, final, ended)

        def later(storing: Storing) -> None:
            nonlocal made
            made = replace(made, storing=storing)

        attempt = (0 if doing.row is None else doing.row.attempt) + 1
        started = Step(step.id, StepState.STARTED, attempt, new_id())
        carried = Carried(
            task=task.id,
            step=step.id,
            attempt=attempt,
            fingerprint=step.fingerprint,
            arguments=content.arguments if doing.is_call else None,
            justification=content.justification,
            key=key_of(task, step),
            approved=None if doing.request is None else doing.request.rule,
            deadline=deadline_of(task, content),
            begin=lambda bound, wanted: self._beginning(doing, started, bound, wanted),
            wait=lambda bound, waits: self._waiting(doing, bound, waits),
            end=end,
            later=later if doing.goes_ahead else None,
        )
        failpoint("tasks.resuming" if doing.undoes is None else "tasks.undoing")
        assert started.call is not None
        sent = ToolCall(started.call, step.tool, self._sent(doing), content.trace)
        try:
            principal = self.in_force.current.as_of_now(content.principal)
            if principal is None:
                raise UnknownTool()
            await self.call(principal, sent, carried)
        except UnknownTool:
            ended = Ended(_GONE, True, "no", "approval_mismatch")
            state = {"what": "failed", "task": task.id, "code": "approval_mismatch"}
            work = self._ending(doing, self._final(doing, started, ended), ended)
            await self.parking.journal.task(state, work=work)
        if doing.undoes is not None:
            failpoint("tasks.undone")
        return made

    async def ask(self, asking: Asking) -> None:
        """Ask people about a step, showing them what it says, with every value quoted."""
        task, step = asking.task, asking.step
        try:
            request, values = self.questions.asked(asking)
        except Missing as missing:
            await self.broken(task, Break(step.id, missing.name), asking.row)
            return
        waiting = Step(step.id, StepState.WAITING, result=self.parking.sealed(task.id, step.id, values))
        await self.parking.ask(request, asking.content.principal, self._waits(task, asking.row, waiting, request))

    async def approved(self, asking: Asking, row: Step) -> None:
        """Go on behind a step people agreed to, where it is exactly what they agreed to."""
        task, step, now = asking.task, asking.step, self.clock.now_us()
        about = self.questions.about(asking, self.questions.values(asking))
        result = self.parking.sealed(task.id, step.id, {"approved": True})
        done = self.parking.tasks.stepping(task.id, row.state, Step(step.id, StepState.DONE, result=result), now)
        works = together(self.parking.using(task.id, step.id, about), done, self._going_on(task, now))
        try:
            await self.parking.journal.task({"what": "approved", "task": task.id, "step": step.id}, work=works)
        except NotApproved:
            await self._fail_step(task, step.id, row, "approval_mismatch")

    async def mismatched(self, task: Task, content: Content, row: Step) -> None:
        """Fail a step that waits for an approval that is not there, or that ended without it: no state of the guard's
        own, so somebody else wrote the rows."""
        code, why = "approval_mismatch", "the approval it waits for is not one that can be given"
        if content.workflow is not None and row.id != CALL:
            await self._fail_step(task, row.id, row, code, why)
            return
        now = self.clock.now_us()
        told = {"guard": {"code": code, "reason": why, "executed": "no", "retry": "never"}}
        failed = self.parking.tasks.stepping(task.id, row.state, replace(row, state=StepState.FAILED, code=code), now)
        shown = self._result(task, {"structured": told, "is_error": True})
        ended = self.parking.tasks.moving(task.id, task.status, TaskStatus.FAILED, message=why, now=now, result=shown)
        state = {"what": "failed", "task": task.id, "step": row.id, "code": code}
        await self.parking.journal.task(state, work=together(failed, ended))

    async def forged(self, task: Task, step: str) -> None:
        """End a task whose rows are not the guard's, or not what is on record. They also say what could be undone."""
        why, said = f"step {step} was changed by somebody else; nothing was taken back", {"code": "approval_mismatch"}
        told = {**said, "reason": why, "executed": "unknown", "retry": "never", "step": step}
        state, shown = {"what": "failed", "task": task.id, "step": step, **said}, {"guard": told}
        await self._end(task, TaskStatus.FAILED, state, why, {"structured": shown, "is_error": True})

    async def ask_further(self, of: "Doing | Asking", request: ApprovalRequest) -> bool:
        """Ask the people behind a confirmation of the requester; whether they are asked now."""
        task, content = of.task, of.content
        if isinstance(of, Asking):
            about = self.questions.about(of, self.questions.values(of))
        else:
            bound = content.arguments if of.is_call or of.row is None else self.parking.opened(task.id, of.row)
            about = binding(of.step.tool, of.step.fingerprint, content.principal, bound, request.rule)
        try:
            await self.parking.ask_further(request, content.principal, about, task)
        except NotApproved:
            return False
        return True

    async def skip(self, task: Task, action: Skip) -> None:
        """Leave a step out."""
        work = self.parking.tasks.stepping(task.id, None, Step(action.step, StepState.SKIPPED), self.clock.now_us())
        await self.parking.journal.task({"what": "skipped", "task": task.id, "step": action.step}, work=work)

    async def broken(self, task: Task, action: Break, row: Step | None) -> None:
        """Fail a step that cannot be begun."""
        await self._fail_step(task, action.step, row, "args_invalid", f"there is no value {action.missing}")

    async def finish(
        self, task: Task, content: Content, action: Finish, steps: Collection[Step], *, told: bool
    ) -> None:
        """End a workflow whose `steps` are done, without what policy hid of its output when it was asked for. `told`
        where somebody waits for its end."""
        output, count = places.hidden(dict(action.output), content.redact)
        state: dict[str, object] = {"what": "completed", "task": task.id, **({"redacted": count} if count else {})}
        shown = self._result(task, {"structured": output, "is_error": False})
        now = self.clock.now_us()
        ended = self.parking.tasks.moving(
            task.id, task.status, TaskStatus.COMPLETED, message="done", now=now, result=shown, told=told
        )
        await self.parking.journal.task(state, work=together(self.parking.tasks.unchanged(task.id, steps), ended))
        failpoint("tasks.ended")

    async def fail(self, task: Task, action: Fail, rows: Mapping[str, Step]) -> None:
        """End a workflow that was not done, and say what of it was, and stays."""
        catalog = self.in_force.current.catalog  # of a tool that is gone nobody can say that nothing stays
        stays = [
            it.id for it in action.final if (found := catalog.get(it.tool)) is None or found.tool.effects != "none"
        ]
        action = replace(action, left=(*action.left, *stays))
        status = TaskStatus.CANCELLED if action.code == "cancelled" else TaskStatus.FAILED
        reason = self._why(task, action, rows)
        told = {"code": action.code, "reason": reason, "executed": interpreter.executed(action, rows), "retry": "never"}
        state: dict[str, object] = {"what": status.value, "task": task.id, "code": action.code}
        if action.step is not None:
            told["step"] = state["step"] = action.step
        shown = told | {"undone": list(action.undone), "not_undone": list(action.left)}
        if action.left:
            state["not_undone"] = list(action.left)
        await self._end(task, status, state, reason, {"structured": {"guard": shown}, "is_error": True})

    def begun_as(self, step: CallStep) -> Entry | None:
        """The tool of a step, as long as it is the one the step is meant for."""
        entry = self.in_force.current.catalog.get(step.tool)
        return entry if entry is not None and entry.tool.fingerprint == step.fingerprint else None

    async def after_a_crash(self, task: Task, row: Step, step: CallStep) -> None:
        """A step begun by a process that is gone: to be done again where that cannot act twice, else in doubt."""
        entry = self.in_force.current.catalog.get(step.tool)
        safe = entry is not None and (
            entry.tool.effects != "once"
            or (entry.tool.idempotency_header is not None and entry.tool.probe is None)
            or isinstance(entry.tool.connector, WorkflowSpec)
        )
        now = self.clock.now_us()
        after = replace(row, state=StepState.PENDING if safe else StepState.IN_DOUBT)
        work = self.parking.tasks.stepping(task.id, StepState.STARTED, after, now)
        state: dict[str, object] = {"what": "again" if safe else "in-doubt", "task": task.id, "step": row.id}
        if not safe:
            same = self.begun_as(step)
            asks = same is not None and same.tool.probe is not None
            status, message = (TaskStatus.WORKING, UNKNOWN) if asks else (TaskStatus.INPUT_REQUIRED, IN_DOUBT)
            moved = self.parking.tasks.moving(
                task.id, task.status, status, message=message, now=now, wake_at=now if asks else None
            )
            work = together(work, moved)
        await self.parking.journal.task(state, work=work)
        failpoint("tasks.recovered")

    # --- what commits -----------------------------------------------------------------------------------------------

    def _beginning(self, doing: Doing, started: Step, bound: Mapping[str, object], wanted: AskedNow | None) -> Work:
        """What commits with the intent: the approval is used up, the step is begun, the task works."""
        task, request, now = doing.task, doing.request, self.clock.now_us()
        message = "being carried out" if doing.is_call else f"carrying out {doing.step.id}"
        moved = self.parking.tasks.moving(
            task.id, task.status, TaskStatus.WORKING, message=message, now=now, wake_at=now
        )
        begun = self.parking.tasks.stepping(task.id, doing.state, self._with_values(doing, started, bound), now)
        begun = together(self._as_worked_out(doing), begun)
        if request is None:
            return together(begun, moved)
        about = binding(doing.step.tool, doing.step.fingerprint, doing.content.principal, bound, request.rule)
        return together(self.parking.using(task.id, doing.step.id, about, wanted), begun, moved)

    def _with_values(self, doing: Doing, started: Step, bound: Mapping[str, object]) -> Step:
        """A step of a workflow as it is begun. Where it may have to be asked about, with exactly what it was begun
        with: made again later, that could be something else."""
        entry = self.begun_as(doing.step)
        if doing.is_call or entry is None or entry.tool.probe is None:
            return started
        return replace(started, result=self.parking.sealed(doing.task.id, started.id, bound))

    def _waiting(self, doing: Doing, bound: Mapping[str, object], waits: ApprovalWait) -> Work:
        """What commits with a question of policy about a step: the values it is about, for whoever decides.

        Raises `Refused` for a probe: finding out by itself is all it is for.
        """
        if probing.is_probe(doing.step.id):
            raise Refused("policy_denied", "policy wants people to approve it", effect="require_approval")
        attempt = 0 if doing.row is None else doing.row.attempt
        sealed = self.parking.sealed(doing.task.id, doing.step.id, bound)
        waiting = Step(doing.step.id, StepState.WAITING, attempt, result=sealed)
        return together(self._as_worked_out(doing), self._waits(doing.task, doing.row, waiting, waits))

    def _as_worked_out(self, doing: Doing) -> Work | None:
        """Change nothing. Raises `Moved` where steps are not what this one was worked out from."""
        return None if doing.steps is None else self.parking.tasks.unchanged(doing.task.id, doing.steps)

    def _waits(self, task: Task, row: Step | None, waiting: Step, waits: ApprovalWait | ApprovalRequest) -> Work:
        now = self.clock.now_us()
        message = waiting_for(waiting.id, waits.approvers)
        return together(
            self.parking.tasks.stepping(task.id, None if row is None else row.state, waiting, now),
            self.parking.tasks.moving(
                task.id, task.status, TaskStatus.INPUT_REQUIRED, message=message, now=now, wake_at=waits.moves_at
            ),
        )

    def _final(self, doing: Doing, started: Step, ended: Ended) -> Step:
        """A step as its attempt leaves it, where no other follows."""
        return replace(
            started,
            state=StepState.FAILED if ended.is_error else StepState.DONE,
            code=ended.code,
            result=None if doing.is_whole else self.parking.sealed(doing.task.id, started.id, ended.structured),
        )

    def _ending(self, doing: Doing, final: Step, ended: Ended) -> Work:
        """What commits with the outcome: the end of the step, unless its call was only kept from happening now, or is
        tried again; and the end of the task, where that was all of it."""
        tasks, task, now = self.parking.tasks, doing.task, self.clock.now_us()
        was_begun = tasks.begun(task.id, final)

        def work(transaction: Transaction) -> None:
            begun = was_begun(transaction)
            before = StepState.STARTED if begun else doing.state
            pending = replace(final, state=StepState.PENDING, code=None, result=None)
            if ended.code in _NOT_NOW or ended.wait is not None:
                if begun and ended.executed == "no":
                    tasks.stepping(task.id, before, pending, now)(transaction)
                return  # begun, and nobody knows: what becomes of it is decided as after a crash
            made = begun or ended.unbegun
            if made and interpreter.again(doing.step, final.attempt, ended.transient):
                tasks.stepping(task.id, before, replace(pending, code=ended.code), now)(transaction)
                return
            after = final if made else replace(final, attempt=final.attempt - 1)
            tasks.stepping(task.id, before, after, now)(transaction)
            if doing.undoes is not None and not ended.is_error:
                undone = replace(doing.undoes, state=StepState.COMPENSATED)
                tasks.stepping(task.id, doing.undoes.state, undone, now)(transaction)
            standing = TaskStatus.WORKING if begun else task.status
            self._ended(doing, standing, ended, now)(transaction)

        return work

    def _ended(self, doing: Doing, standing: TaskStatus, ended: Ended, now: int) -> Work:
        """Where the end of a step leaves its task."""
        task, tasks = doing.task, self.parking.tasks
        if not (doing.is_whole or (doing.is_call and ended.is_error)):
            return tasks.moving(
                task.id, standing, TaskStatus.WORKING, message=f"{doing.step.id} ended", now=now, wake_at=now
            )
        status = TaskStatus.FAILED if ended.is_error else TaskStatus.COMPLETED
        message = _reason(ended.structured) if ended.is_error else "done"
        told = {"structured": dict(ended.structured), "is_error": ended.is_error}
        return tasks.moving(task.id, standing, status, message=message, now=now, result=self._result(task, told))

    async def _end(
        self, task: Task, status: TaskStatus, state: Mapping[str, object], message: str, told: Mapping[str, object]
    ) -> None:
        now = self.clock.now_us()
        work = self.parking.tasks.moving(
            task.id, task.status, status, message=message, now=now, result=self._result(task, told)
        )
        await self.parking.journal.task(state, work=work)
        failpoint("tasks.ended")

    def _result(self, task: Task, told: Mapping[str, object]) -> bytes:
        return self.parking.vault().seal(strict_json.dumps(told), f"{task.id}/result")

    def _going_on(self, task: Task, now: int) -> Work:
        return self.parking.tasks.moving(
            task.id, task.status, TaskStatus.WORKING, message="going on", now=now, wake_at=now
        )

    async def _fail_step(self, task: Task, step: str, row: Step | None, code: str, why: str = "") -> None:
        now = self.clock.now_us()
        told = {"guard": {"code": code, "reason": why or "it is not what was approved", "executed": "no"}}
        attempt = 0 if row is None else row.attempt
        failed = Step(step, StepState.FAILED, attempt, code=code, result=self.parking.sealed(task.id, step, told))
        work = together(
            self.parking.tasks.stepping(task.id, None if row is None else row.state, failed, now),
            self._going_on(task, now),
        )
        await self.parking.journal.task({"what": "failed", "task": task.id, "step": step, "code": code}, work=work)

    # --- what is asked and told -------------------------------------------------------------------------------------

    def _sent(self, doing: Doing) -> Mapping[str, object]:
        """The arguments of a step, with the reason its workflow was given where its tool wants one."""
        entry = self.in_force.current.catalog.get(doing.step.tool)
        why = doing.content.justification
        if doing.is_call or why is None or entry is None or entry.tool.justification == "none":
            return doing.arguments
        return {**doing.arguments, JUSTIFICATION: why}

    def _why(self, task: Task, action: Fail, rows: Mapping[str, Step]) -> str:
        row = rows.get(action.step) if action.step is not None else None
        if action.code == "cancelled":
            reason = "cancelled on request"
        elif row is not None and row.result is not None:
            reason = f"step {row.id}: {_reason(self.parking.opened(task.id, row))}"
        elif row is not None:
            reason = f"step {row.id}: {_ENDED.get(action.code, 'failed')}"
        else:
            reason = "its time was over before it was done"
        if action.undone:
            reason += f"; taken back: {', '.join(action.undone)}"
        return reason + (f"; NOT taken back: {', '.join(action.left)}" if action.left else "")


def key_of(task: Task, step: CallStep) -> str:
    """The idempotency key of every attempt of a step."""
    return task.id if step.id == CALL else f"{task.id}-{step.id}"


_NOT_NOW = frozenset({"audit_unavailable", "cancelled"})
"""Codes of calls that this process could not carry out or finish, and another moment or process may."""
_ENDED = {"approval_denied": "somebody decided against it", "approval_expired": "nobody decided in time"}
_GONE: Mapping[str, object] = {
    "guard": {
        "code": "approval_mismatch",
        "reason": "the tool is not there any more, or not for whoever asked",
        "executed": "no",
        "retry": "never",
    }
}


def _reason(structured: Mapping[str, object]) -> str:
    guard = structured.get("guard")
    return visible(str(guard.get("reason", "failed"))) if isinstance(guard, Mapping) else "failed"
