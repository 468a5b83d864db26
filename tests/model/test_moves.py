"""Legal changes of state are what the tables say, and nothing else."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from mcp_guard.model.moves import (
    APPROVAL_MOVES,
    STEP_MOVES,
    TASK_MOVES,
    ApprovalState,
    IllegalMove,
    StepState,
    TaskStatus,
    check_move,
)

TABLES: list[tuple[type[StrEnum], Mapping[Any, frozenset[Any]]]] = [
    (TaskStatus, TASK_MOVES),
    (StepState, STEP_MOVES),
    (ApprovalState, APPROVAL_MOVES),
]


@pytest.mark.holds("tasks:moves")
@pytest.mark.parametrize(("states", "moves"), TABLES)
def test_every_state_is_in_its_table_and_everything_else_raises(
    states: type[StrEnum], moves: Mapping[Any, frozenset[Any]]
) -> None:
    assert set(moves) == set(states)
    for before in states:
        for after in states:
            if after in moves[before]:
                check_move(moves, before, after)
            else:
                with pytest.raises(IllegalMove):
                    check_move(moves, before, after)


@pytest.mark.holds("tasks:moves")
def test_what_has_ended_stays_ended() -> None:
    assert {status for status in TaskStatus if status.is_final} == {"completed", "failed", "cancelled"}
    assert {state for state, after in APPROVAL_MOVES.items() if not after} == {"denied", "expired", "withdrawn", "used"}
    assert ApprovalState.USED not in APPROVAL_MOVES[ApprovalState.PENDING], "nothing is used that nobody approved"
