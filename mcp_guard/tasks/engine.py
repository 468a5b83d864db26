"""What a task engine promises: tasks at rest, who works on each, and when each is due.

What carries tasks on (`Runner`) and what they do next (`interpreter`) do not know which engine they are on. An engine
keeps rows and moves them by compare-and-set. Every change is a `Work`, so that it commits with the record that says so
or not at all, and raises where somebody else was quicker: then nothing of its commit happened.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mcp_guard.model.call import FinishedTask
from mcp_guard.model.moves import StepState, TaskStatus
from mcp_guard.model.principal import Principal
from mcp_guard.store.transaction import Transaction, Work
from mcp_guard.tasks.task import Step, Task

MOST_WAITING = 50
"""Tasks of one requester that may be open at a time, whether they work or wait for people: attention is what runs out
first, and what works may come to ask for it."""


class Alike(Exception):
    """The same call of the same requester waits already, as `task`."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task


class TooManyWaiting(Exception):
    """The requester has as many tasks open as one may have."""


class Moved(Exception):
    """Somebody else changed the task or step first."""


@dataclass(frozen=True, slots=True)
class Rest:
    """A task cannot move now; look again then (unix µs), or when a person did something.

    `seen` is its `wake_at` when that was found out: another one is a wake-up that came since. `forced` overrules one.
    """

    until: int | None
    seen: int | None = None
    forced: bool = False


class Due(NamedTuple):
    """A task somebody has to look at: who works on it, if anybody, and whose it is (`subject tenant`)."""

    id: str
    owner: str | None
    requester: str


@dataclass(frozen=True, slots=True)
class Passed:
    """Tasks that are passed over, by id, by who works on them, and by whose they are."""

    tasks: Collection[str] = ()
    owners: Collection[str] = ()
    requesters: Collection[str] = ()


NOBODY_PASSED = Passed()


@dataclass(frozen=True, slots=True)
class NewTask:
    """What a task begins as. `alike` is a keyed digest of requester, tool and arguments.

    `step` is the first step, where it is begun already. With `claimed` the process that makes it works on it from then
    on, as if it had claimed it.
    """

    id: str
    tool: str
    status: TaskStatus
    subject: str
    client: str
    tenant: str
    alike: str
    sealed: bytes
    message: str
    now: int
    wake_at: int | None
    step: Step | None
    claimed: bool = False


class Engine(Protocol):
    """Tasks of one store. Reading and `commit` raise `StoreUnavailable`. Times are unix µs.

    A task that waits is its rows and nothing else. One that somebody works on has that process as its `owner`; nobody
    else works on it while that process lives, and whoever finds it gone may take the task over (`claiming`).
    """

    # --- what is there ----------------------------------------------------------------------------------------------

    async def find(self, identifier: str) -> Task | None: ...

    async def like(self, prefix: str, limit: int) -> list[str]:
        """The ids of tasks that begin so."""
        ...

    async def steps(self, identifier: str) -> list[Step]:
        """The steps of a task, in the order they came up."""
        ...

    def is_own(self, task: str, step: Step) -> bool:
        """Whether a step of a task is as an engine of this home wrote it last or before: nobody else did."""
        ...

    async def all(
        self,
        *,
        status: TaskStatus | None = None,
        tenant: str | None = None,
        subject: str | None = None,
        tool: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        """Tasks, newest first; those behind the task `before` where it is given."""
        ...

    async def attempts(self, tasks: Sequence[str]) -> dict[str, tuple[int, bool]]:
        """How many attempts were begun for each of these tasks, and whether a step of it is in doubt."""
        ...

    def has_untold(self, principal: Principal) -> bool:
        """Whether a task of the principal's ended that they were not told of."""
        ...

    async def untold(self, principal: Principal, limit: int) -> list[FinishedTask]:
        """Tasks of the principal's that ended and that they were not told of."""
        ...

    # --- timers and owners ------------------------------------------------------------------------------------------

    def next_wake(self) -> int | None:
        """When the next task is due; `None` where none ever is."""
        ...

    def stamp(self) -> object:
        """What the rows look like from outside: another value soon after somebody changed them, and cheap enough to ask
        for all the time. It may miss a change; it makes none up for long."""
        ...

    async def all_due(self, now: int, limit: int, passed: Passed = NOBODY_PASSED) -> list[Due]:
        """Tasks somebody has to look at, but for those `passed` over, the longest overdue first."""
        ...

    def is_free(self, owner: str | None) -> bool:
        """Whether nobody works on a task with this owner: there is none, or their process is gone."""
        ...

    def is_mine(self, owner: str | None) -> bool:
        """Whether a task with this owner is this process's to work on."""
        ...

    # --- changes, each in somebody's commit -------------------------------------------------------------------------

    async def commit(self, work: Work) -> None:
        """Commit what no record speaks of: who works on a task, and who was told of its end."""
        ...

    def beginning(self, new: NewTask) -> Work:
        """Make a task, with its first step where it has one. Raises `Alike`, `TooManyWaiting`."""
        ...

    def apart(self, alike: str) -> Work:
        """Change nothing. Raises `Alike` where the same call of the same requester waits or is carried out already."""
        ...

    def moving(
        self,
        identifier: str,
        before: TaskStatus,
        after: TaskStatus,
        *,
        message: str,
        now: int,
        wake_at: int | None = None,
        result: bytes | None = None,
        told: bool = False,
    ) -> Work:
        """Change the status of a task; one that ended is nobody's any more, and its requester is still to be told of
        it unless they are (`told`). Raises `Moved` where it is another by now, and `IllegalMove` at once where the
        change is none there is."""
        ...

    def unchanged(self, task: str, steps: Collection[Step]) -> Work:
        """Change nothing. Raises `Moved` where the steps of a task are not exactly these; when each was written does
        not matter."""
        ...

    def stepping(self, task: str, before: StepState | None, step: Step, now: int) -> Work:
        """Change a step, or begin one. Raises `Moved` where it is in another state by now, and `IllegalMove` at
        once where the change is none there is."""
        ...

    def begun(self, task: str, step: Step) -> Callable[[Transaction], bool]:
        """Whether exactly this attempt of a step was begun, asked inside the transaction of its end."""
        ...

    def waking(self, identifier: str, now: int) -> Work:
        """Have somebody look at a task now, unless it has ended."""
        ...

    def claiming(self, identifier: str, before: str | None) -> Work:
        """Become the one who works on a task. Raises `Moved` where somebody else did, or it has ended."""
        ...

    def releasing(self, identifier: str, rest: Rest, now: int) -> Work:
        """Stop working on a task until it is due again, or at once where somebody woke it meanwhile."""
        ...

    def telling(self, finished: Sequence[FinishedTask]) -> Work:
        """Note that somebody is told of tasks that ended. Raises `Moved` where they were told of one already."""
        ...
