"""Where complaints about one document are gathered."""

from dataclasses import dataclass

from mcp_guard.kit import pointer
from mcp_guard.kit.yaml import Document
from mcp_guard.model.problem import Problem


@dataclass(frozen=True, slots=True)
class Report:
    """One place in a document, and the list all its places write to.

    Messages say what is expected; they never quote a value, because a value may be a secret.
    """

    document: Document
    problems: list[Problem]
    where: tuple[object, ...] = ()

    def at(self, *tokens: object) -> "Report":
        """The same report, further down the document."""
        return Report(self.document, self.problems, (*self.where, *tokens))

    def error(self, code: str, message: str, hint: str = "") -> None:
        self.problems.append(self.document.problem(pointer.join(self.where), code, message, hint))

    def warning(self, code: str, message: str, hint: str = "") -> None:
        self.problems.append(self.document.problem(pointer.join(self.where), code, message, hint, warning=True))
