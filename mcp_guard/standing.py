"""Where a task stands, read from its rows, or worked out ahead of them while an outcome is on its way into the store.

A step need not wait for the disk to be through with the one before. What was handed over first is stored first, so
whatever is recorded of the next step stands behind it, and what must hold still holds: nothing is done to the world and
nothing ends before the steps it was worked out from are stored, exactly as they were taken to be (`Engine.unchanged`);
and no result goes anywhere before its own record is durable, not even into the next call that only reads.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mcp_guard.carrying import Made
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.moves import StepState, TaskStatus
from mcp_guard.model.tool import CallStep
from mcp_guard.tasks import templates
from mcp_guard.tasks.carried import Storing
from mcp_guard.tasks.engine import Moved
from mcp_guard.tasks.probing import is_probe
from mcp_guard.tasks.task import Content, Step, Task
from mcp_guard.tasks.templates import Scope

Results = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Standing:
    """A task, what it is about, and its steps by id. `results` are of steps done. `seen_at` (s, monotonic) is when the
    rows were read; `storing` the newest outcome on its way, `unsaved` the steps that may not be stored yet."""

    task: Task
    content: Content
    steps: Mapping[str, Step]
    results: Results
    seen_at: float
    storing: Storing | None = None
    unsaved: frozenset[str] = field(default_factory=frozenset)

    @property
    def rows(self) -> Mapping[str, Step]:
        """The steps but for those that only ask what became of one."""
        return {name: row for name, row in self.steps.items() if not is_probe(name)}

    @property
    def scope(self) -> Scope:
        """What templates may take: the bound arguments, and the results of steps done."""
        return {"input": self.content.arguments, "steps": self.results}

    def after(self, made: Made) -> "Standing":
        """Where it stands once an outcome that was handed over is stored."""
        row = made.row
        assert row is not None
        return replace(
            self,
            task=replace(self.task, status=TaskStatus.WORKING),
            steps={**self.steps, row.id: row},
            results={**self.results, row.id: made.result},
            storing=made.storing,
            unsaved=self.unsaved | {row.id},
        )

    def may_be_read_for(self, step: CallStep) -> bool:
        """Whether a step that only reads takes nothing from results that may not be on record yet."""
        return self.unsaved.isdisjoint(templates.reads([step.when, step.arguments]))

    async def stored(self) -> None:
        """Return once everything that was handed over is stored.

        Raises `Moved` where somebody was quicker, and `StoreUnavailable` where it could not be stored.
        """
        if self.storing is None:
            return
        try:
            await asyncio.shield(self.storing)
        except (StoreUnavailable, asyncio.CancelledError, Moved):
            raise
        except Exception:  # noqa: BLE001 - whatever its rows met, they are not what they were taken to be
            raise Moved from None


HAVE_RESULTS = (StepState.DONE, StepState.COMPENSATED)
