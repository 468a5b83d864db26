"""Legal changes of state, as data: one table for each kind of thing, and everything else raises."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypeVar


class IllegalMove(Exception):
    """Something was to go from a state into one that does not follow it."""


class TaskStatus(StrEnum):
    """In the words of the MCP tasks extension (`io.modelcontextprotocol/tasks`)."""

    WORKING = "working"
    INPUT_REQUIRED = "input_required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return not TASK_MOVES[self]


class StepState(StrEnum):
    """`waiting`: for a person. `in_doubt`: begun by a process that died, and nobody knows whether it took effect."""

    PENDING = "pending"
    WAITING = "waiting"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    IN_DOUBT = "in_doubt"
    COMPENSATED = "compensated"


ApprovalEvent = Literal["requested", "escalated", "approved", "denied", "expired", "withdrawn"]
"""What can happen to an approval, in the words of its records."""


class ApprovalState(StrEnum):
    """`used`: what was approved was begun; an approval is used at most once (I4)."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    USED = "used"


_State = TypeVar("_State", bound=StrEnum)

_T, _S, _A = TaskStatus, StepState, ApprovalState

TASK_MOVES: Mapping[TaskStatus, frozenset[TaskStatus]] = {
    _T.WORKING: frozenset({_T.INPUT_REQUIRED, _T.COMPLETED, _T.FAILED, _T.CANCELLED}),
    _T.INPUT_REQUIRED: frozenset({_T.WORKING, _T.COMPLETED, _T.FAILED, _T.CANCELLED}),
    _T.COMPLETED: frozenset(),
    _T.FAILED: frozenset(),
    _T.CANCELLED: frozenset(),
}
STEP_MOVES: Mapping[StepState, frozenset[StepState]] = {
    _S.PENDING: frozenset({_S.WAITING, _S.STARTED, _S.DONE, _S.SKIPPED, _S.FAILED}),
    _S.WAITING: frozenset({_S.PENDING, _S.STARTED, _S.DONE, _S.FAILED}),
    _S.STARTED: frozenset({_S.DONE, _S.FAILED, _S.PENDING, _S.IN_DOUBT}),
    _S.IN_DOUBT: frozenset({_S.DONE, _S.FAILED, _S.PENDING}),
    _S.DONE: frozenset({_S.COMPENSATED}),
    _S.FAILED: frozenset({_S.PENDING}),
    _S.SKIPPED: frozenset(),
    _S.COMPENSATED: frozenset(),
}
APPROVAL_MOVES: Mapping[ApprovalState, frozenset[ApprovalState]] = {
    _A.PENDING: frozenset({_A.APPROVED, _A.DENIED, _A.EXPIRED, _A.WITHDRAWN}),
    _A.APPROVED: frozenset({_A.USED, _A.EXPIRED, _A.WITHDRAWN}),
    _A.DENIED: frozenset(),
    _A.EXPIRED: frozenset(),
    _A.WITHDRAWN: frozenset(),
    _A.USED: frozenset(),
}


def check_move(moves: Mapping[_State, frozenset[_State]], before: _State, after: _State) -> None:
    """Raise `IllegalMove` for a change the table does not know."""
    if after not in moves[before]:
        raise IllegalMove(f"{before} is not followed by {after}")
