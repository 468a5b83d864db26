"""What can be said about loaded rules by somebody who knows the tools' schemas and the people.

Every check is `check(subject, …) -> problems`; none of them keeps a policy from loading on its own account, but an
argument no tool of the row has is an error: such a row cannot mean what it says.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp_guard.model.problem import Problem, Severity
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Rules

Columns = Mapping[int, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Subject:
    """Rules and where they stand; `columns` are the places of a line's columns, counted from 1."""

    rules: Rules
    file: str
    columns: Columns

    def problem(
        self,
        row: Row,
        column: str,
        code: str,
        message: str,
        hint: str,
        *,
        offset: int = 0,
        severity: Severity = "warning",
    ) -> Problem:
        place = self.columns[row.line][column] + offset
        return Problem(code, message, self.file, row.line, place, hint, severity)
