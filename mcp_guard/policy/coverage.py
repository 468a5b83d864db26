"""Which rows of a policy are shown by some question to do what they are there for."""

from collections.abc import Iterable
from dataclasses import dataclass

from mcp_guard.model.decision import AccessRequest
from mcp_guard.policy.explanation import deciding_rows
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Coverage:
    """`uncovered` are the rows no decision was made of, in the order of the file, of `rows` in all.

    A row is covered where it decided, alone or together with others of its effect. One that applied and was overruled
    by a stricter row is not: its decision was never seen.
    """

    rows: int
    uncovered: tuple[Row, ...]

    @property
    def covered(self) -> int:
        return self.rows - len(self.uncovered)

    def reaches(self, percent: int) -> bool:
        """Whether at least so many percent of the rows are covered."""
        return self.covered * 100 >= percent * self.rows

    def as_dict(self) -> dict[str, object]:
        """`{"rows", "covered", "percent", "uncovered": [{"rule", "line"}]}`; percent has one digit, rounded down."""
        return {
            "rows": self.rows,
            "covered": self.covered,
            "percent": self.covered * 1000 // max(self.rows, 1) / 10,
            "uncovered": [{"rule": row.id, "line": row.line} for row in self.uncovered],
        }


def coverage(policy: Snapshot, questions: Iterable[AccessRequest]) -> Coverage:
    """What the questions cover of a policy, whatever their answers should have been."""
    decided = {rule for question in questions for rule in deciding_rows(policy, question)}
    rows = policy.rules.rows
    return Coverage(len(rows), tuple(row for row in rows if row.id not in decided))
