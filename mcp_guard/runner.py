"""Carries tasks on: whatever is due is claimed by one process, moved as far as it goes, and left as rows again.

Several processes of one home share the work. Each task is claimed by its boot id, and a claim whose process is gone is
taken over. What was begun by a process that died is not begun again unless that is safe: it is in doubt until a
person says what became of it (I2).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.approval.store import NotPending
from mcp_guard.carrying import Call, Carrying, Doing
from mcp_guard.generation import InForce
from mcp_guard.kit.clock import Clock
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.moves import ApprovalState, StepState, TaskStatus
from mcp_guard.model.tool import ApproveStep, CallStep
from mcp_guard.parking import Parking
from mcp_guard.probing import RETRY_SECONDS, Probing, is_put_off
from mcp_guard.questioning import Asking, Questions
from mcp_guard.resolving import Doubt
from mcp_guard.standing import HAVE_RESULTS, Standing
from mcp_guard.tasks.engine import Moved, Passed, Rest
from mcp_guard.tasks.interpreter import Action, Ask, Break, Fail, Finish, Moment, Run, Skip, Sleep, Wait, next_action
from mcp_guard.tasks.plan import CALL, CANCEL, undone_by
from mcp_guard.tasks.probing import is_probe
from mcp_guard.tasks.task import Step, deadline_of, step_of
from mcp_guard.tasks.templates import fill

_log = logging.getLogger("mcp_guard.tasks")

LOOK_SECONDS = 0.05
"""How often a serving process looks for work that others woke; its own is seen at once."""
LOOK_ANYWAY_SECONDS = 1.0
"""How often it looks whatever it sees: two commits within one tick of a file system's clock look like one."""
AHEAD_SECONDS = 0.25
"""How long steps are worked out from rows as they were read, before they are looked at again: by then somebody may have
said something, as that the task is to end. What does something to the world never goes by older ones."""
PAUSE_SECONDS = 0.02
"""How soon to look again at a task that somebody else carries on, or nobody now."""
_NOW = 0
AT_ONCE = 16
"""Tasks one process carries on at the same time; beyond that one of each requester."""
MOST_AT_ONCE = 256


class Runner:
    """Carries on the tasks of one engine, through the pipeline (`call`)."""

    def __init__(self, parking: Parking, in_force: InForce, call: Call, clock: Clock) -> None:
        self._parking = parking
        self._engine = parking.tasks
        self._carrying = Carrying(parking, in_force, Questions(parking, in_force, clock), call, clock)
        self._probing = Probing(self._carrying)
        self._clock = clock
        self._poked = asyncio.Event()
        self._wake: int | None = None
        self._busy: dict[str, asyncio.Task[bool]] = {}
        self._whose: dict[str, str] = {}
        self._waited_for: Counter[str] = Counter()
        self._telling: set[str] = set()
        self._stopping = False

    def poke(self) -> None:
        """Something may be due now."""
        self._poked.set()

    async def watch(self) -> None:
        """Carry on whatever is due, for ever. Waiting costs one glance every `LOOK_SECONDS`."""
        while True:
            seen, self._wake = self._engine.stamp(), _NOW
            with suppress(StoreUnavailable):
                await self.look()
            self._poked.clear()
            await self._until_woken(seen)

    async def look(self) -> None:
        """Begin carrying on what is due, as far as there is room."""
        now = self._clock.now_us()
        self._wake = wake = self._engine.next_wake()
        if wake is None or wake > now:
            return
        owners: set[str] = set()
        requesters: set[str] = set()
        while True:
            due = await self._engine.all_due(now, AT_ONCE * 2, Passed({*self._busy}, owners, requesters))
            for it in due:
                if it.id in self._busy:
                    continue  # begun by a call meanwhile
                if it.owner is not None and not (self._engine.is_mine(it.owner) or self._engine.is_free(it.owner)):
                    owners.add(it.owner)
                elif self._has_room(it.requester):
                    self._begin(it.id, it.requester)
                else:
                    requesters.add(it.requester)
            if len(due) < AT_ONCE * 2:
                return

    def _has_room(self, requester: str) -> bool:
        """Whether one more task of a requester may be carried on here. Everybody has room for one: what somebody else
        fills this process with keeps nobody waiting."""
        if len(self._busy) < AT_ONCE:
            return True
        return len(self._busy) < MOST_AT_ONCE and requester not in self._whose.values()

    async def _until_woken(self, seen: object) -> None:
        """Return once something is due, somebody poked, or the rows are not what they were when they were `seen`.

        A timer on the loop and not a coroutine that sleeps: this is all that a process does that has nothing to do.
        """
        loop = asyncio.get_running_loop()
        latest = loop.time() + LOOK_ANYWAY_SECONDS
        timer: asyncio.TimerHandle

        def glance() -> None:
            nonlocal timer
            due = self._wake is not None and self._wake <= self._clock.now_us()
            if due or loop.time() >= latest or self._engine.stamp() != seen:
                self._poked.set()
            else:
                timer = loop.call_later(LOOK_SECONDS, glance)

        timer = loop.call_later(LOOK_SECONDS, glance)
        try:
            await self._poked.wait()
        finally:
            timer.cancel()

    async def settle(self) -> None:
        """Return once everything that is being carried on now has come to rest."""
        while self._busy:
            await asyncio.wait(set(self._busy.values()))

    def start(self, identifier: str) -> None:
        """Begin carrying on one task that nobody works on, unless this process does already."""
        if identifier not in self._busy and not self._stopping:
            self._begin(identifier)

    async def pause(self, identifier: str, seconds: float) -> None:
        """Wait until a task this process carries on has come to rest, so long at most; a moment for any other. Whoever
        waits here for its end tells it."""
        busy = self._busy.get(identifier)
        if busy is None:
            await asyncio.sleep(min(seconds, PAUSE_SECONDS))
            return
        self._waited_for[identifier] += 1
        try:
            await asyncio.wait({busy}, timeout=seconds)
        finally:
            self._waited_for[identifier] -= 1
            if not self._waited_for[identifier]:
                del self._waited_for[identifier]
        if identifier in self._telling:
            await asyncio.wait({busy})

    async def stop(self) -> None:
        """Begin no more steps, and return once those under way have come to rest."""
        self._stopping = True
        await self.settle()

    async def carry_on(self, identifier: str) -> bool:
        """Carry one task on as far as it goes, for a command. Not where a living process works on it: then false.

        Raises `StoreUnavailable`.
        """
        await self._engine.find(identifier)
        return identifier not in self._busy and await self._begin(identifier)

    def _begin(self, identifier: str, requester: str = "") -> asyncio.Task[bool]:
        self._busy[identifier] = task = asyncio.create_task(self._carry_on(identifier))
        self._whose[identifier] = requester
        task.add_done_callback(partial(self._done, identifier))
        return task

    def _done(self, identifier: str, _: asyncio.Task[bool]) -> None:
        self._busy.pop(identifier, None)
        self._whose.pop(identifier, None)
        self.poke()

    async def _carry_on(self, identifier: str) -> bool:
        """Move a task as far as it goes; whether it was this process that could."""
        try:
            if not await self._claim(identifier):
                return False
        except StoreUnavailable:
            return True  # nobody works on it: it is looked at again
        rest: Rest | None = Rest(self._clock.now_us() + int(RETRY_SECONDS * 1_000_000), forced=True)
        try:
            rest = await self._move(identifier)
        except (Moved, NotPending):
            rest = Rest(self._clock.now_us(), forced=True)  # somebody was quicker: look again at what they did
        except StoreUnavailable as error:
            _log.warning("a task cannot go on now: %s", error.message, extra={"task": identifier})
        except Exception:  # noqa: BLE001 - whatever one task stumbles over, the others go on
            _log.exception("a task cannot go on", extra={"task": identifier})
        with suppress(StoreUnavailable):  # its row says that this process works on it: it is looked at again
            if rest is not None:
                await self._engine.commit(self._engine.releasing(identifier, rest, self._clock.now_us()))
        return True

    async def _claim(self, identifier: str) -> bool:
        """Become the one who works on a task, unless this process is that already; whether it is."""
        task = await self._engine.find(identifier)
        if task is None or task.status.is_final or self._engine.is_mine(task.owner):
            return True
        if not self._engine.is_free(task.owner):
            return False
        with suppress(Moved):
            await self._engine.commit(self._engine.claiming(identifier, task.owner))
            return True
        return False

    async def _move(self, identifier: str) -> Rest | None:
        """Move a task as far as it goes; `None` once it has ended."""
        standing = await self._look_at(identifier)
        while standing is not None and not standing.task.status.is_final:
            if self._stopping:
                await standing.stored()
                return Rest(self._clock.now_us(), forced=True)
            try:
                came = await self._step(standing)
                if not isinstance(came, Standing):
                    await standing.stored()
            except Moved:
                await standing.stored()  # where that is why, it is the store, and not somebody who was quicker
                raise
            if isinstance(came, Rest):
                return replace(came, seen=standing.task.wake_at)
            standing = came or await self._look_at(identifier, standing)
        return None

    async def _look_at(self, identifier: str, before: Standing | None = None) -> Standing | None:
        """Where a task stands by its rows; `None` where it has ended. `before` is where it stood, if it is known."""
        while (task := await self._engine.find(identifier)) is not None and not task.status.is_final:
            steps = await self._engine.steps(identifier)
            if (forged := next((row for row in steps if not self._engine.is_own(identifier, row)), None)) is None:
                is_same = before is not None and before.task.sealed == task.sealed
                content = before.content if before is not None and is_same else self._parking.content(task)
                done = [row for row in steps if row.result is not None and row.state in HAVE_RESULTS]
                results = {row.id: self._parking.opened(identifier, row) for row in done if not is_probe(row.id)}
                return Standing(task, content, {row.id: row for row in steps}, results, self._clock.monotonic())
            await self._carrying.forged(task, forged.id)
        return None

    async def _step(self, standing: Standing) -> Rest | Standing | None:
        """Move a task by one step: when to look again where it cannot move now, where it stands then where that is
        known already, or nothing."""
        rows = standing.rows
        held = next((row for row in rows.values() if row.state in _HELD), None)
        if held is not None:
            return await self._held(standing, held)
        call = rows.get(CALL)
        if call is not None and call.state is StepState.PENDING:
            return await self._run(standing, self._doing(standing, call))
        plan, deadline = standing.content.workflow, deadline_of(standing.task, standing.content)
        if plan is None or deadline is None:
            return Rest(None)
        moment = Moment(standing.task.id, self._clock.now_us(), deadline, CANCEL in rows)
        action = next_action(plan, rows, standing.scope, moment)
        if standing.storing is not None and not self._may_go_ahead(standing, action):
            return None
        return await self._do(standing, action)

    async def _do(self, standing: Standing, action: Action) -> Rest | Standing | None:
        """What the plan of a workflow says comes next."""
        task, content, rows = standing.task, standing.content, standing.rows
        match action:
            case Run():
                undone = None if action.undoes is None else rows[action.undoes]
                row = rows.get(action.step.id)
                doing = Doing(task, content, action.step, action.arguments, row, undoes=undone)
                return await self._run(standing, doing)
            case Ask():
                asking = Asking(task, content, action.step, rows.get(action.step.id), standing.scope)
                await self._carrying.ask(asking)
            case Skip():
                await self._carrying.skip(task, action)
            case Break():
                await self._carrying.broken(task, action, rows.get(action.step))
            case Finish():
                return await self._finish(standing, action)
            case Fail():
                await self._carrying.fail(task, action, rows)
            case Sleep():
                return Rest(action.until)
            case Wait():
                return Rest(None)
        return None

    def _may_go_ahead(self, standing: Standing, action: Action) -> bool:
        """Whether what comes next may be begun while outcomes are on their way into the store."""
        if self._clock.monotonic() - standing.seen_at > AHEAD_SECONDS:
            return False
        if not isinstance(action, Run) or action.undoes is not None:
            return isinstance(action, Finish)
        entry = self._carrying.begun_as(action.step)
        return entry is not None and (entry.tool.effects != "none" or standing.may_be_read_for(action.step))

    async def _finish(self, standing: Standing, action: Finish) -> Standing:
        told = standing.task.id in self._waited_for
        if told:
            self._telling.add(standing.task.id)
        try:
            steps = standing.steps.values()
            await self._carrying.finish(standing.task, standing.content, action, steps, told=told)
        finally:
            self._telling.discard(standing.task.id)
        return replace(standing, task=replace(standing.task, status=TaskStatus.COMPLETED))

    async def _held(self, standing: Standing, row: Step) -> Rest | Standing | None:
        """See to a step that waits: for people, for an operator, or for whoever finds that its process died."""
        task, content, rows = standing.task, standing.content, standing.rows
        step = step_of(task, content, row.id)
        if row.state is StepState.IN_DOUBT:
            assert isinstance(step, CallStep)
            return await self._probing.see(Doubt(task, content, step, row, rows.get(undone_by(row.id))))
        if row.state is StepState.STARTED:
            assert isinstance(step, CallStep), "only calls are begun"
            await self._carrying.after_a_crash(task, row, step)
            return None
        request = await self._parking.approvals.of_step(task.id, row.id)
        if request is None or request.state not in (ApprovalState.PENDING, ApprovalState.APPROVED):
            await self._carrying.mismatched(task, content, row)
            return None
        if await self._parking.approvals.is_late(request, self._clock.now_us()):
            await self._parking.expire(request, content.principal)
        elif CANCEL in rows:
            await self._parking.withdraw(request, content.principal)
        elif request.state is ApprovalState.PENDING:
            if self._clock.now_us() < request.moves_at:
                return Rest(request.moves_at)
            await self._parking.escalate(request, content.principal)
        else:
            return await self._agreed(standing, row, request)
        return None

    async def _agreed(self, standing: Standing, row: Step, request: ApprovalRequest) -> Rest | Standing | None:
        """Go on with what was agreed to: ask others too where they are to be asked, else do it."""
        task, content = standing.task, standing.content
        if (await self._parking.recorded.of(task.id, row.id, content.at)).over:
            await self._carrying.forged(task, row.id)
            return None
        step = step_of(task, content, row.id)
        of: Asking | Doing
        if isinstance(step, ApproveStep):
            of = Asking(task, content, step, row, standing.scope)
        else:
            of = self._doing(standing, row)
        if request.further and await self._carrying.ask_further(of, request):
            return None
        if isinstance(of, Doing):
            return await self._run(standing, of)
        await self._carrying.approved(of, row)
        return None

    async def _run(self, standing: Standing, doing: Doing) -> Rest | Standing | None:
        """Make a call; look again later where it could not be made for a reason outside it."""
        recorded = await self._parking.recorded.of(doing.task.id, doing.step.id, doing.content.at)
        if not recorded.allows(doing.row):
            await standing.stored()
            await self._carrying.forged(doing.task, doing.step.id)
            return None
        if doing.row is not None:
            request = await self._parking.approvals.of_step(doing.task.id, doing.row.id)
            doing = replace(doing, request=request)
        if standing.storing is not None:
            doing = replace(doing, steps=standing.steps.values())
        made = await self._carrying.run(doing)
        if made.storing is not None:
            return standing.after(made)
        await standing.stored()
        rows = {row.id: row for row in await self._engine.steps(doing.task.id)}
        after = rows.pop(doing.step.id, None)
        if standing.storing is not None and rows.keys() != standing.steps.keys() - {doing.step.id}:
            return None  # somebody else had something to say, which is why it was not made
        now, deadline = self._clock.now_us(), deadline_of(doing.task, doing.content)
        until = now + int(max(made.wait or 0, RETRY_SECONDS) * 1_000_000)
        if deadline is not None and deadline > now:
            until = min(until, deadline)
        return Rest(until, forced=True) if is_put_off(doing.row, after) else None

    def _doing(self, standing: Standing, row: Step) -> Doing:
        """The call of a step that is journaled, made from what was journaled when it came up."""
        task, content = standing.task, standing.content
        step = step_of(task, content, row.id)
        assert isinstance(step, CallStep)
        if row.id == CALL:
            return Doing(task, content, step, content.arguments, row)
        arguments = fill(step.arguments, standing.scope)
        assert isinstance(arguments, Mapping)
        return Doing(task, content, step, arguments, row, undoes=standing.rows.get(undone_by(row.id)))


_HELD = (StepState.WAITING, StepState.IN_DOUBT, StepState.STARTED)
