"""Where the demo speaks: scenes, what happened, tables. The command line provides one."""

from collections.abc import Sequence
from typing import Protocol


class Stage(Protocol):
    """Output of the demo."""

    def scene(self, title: str, about: str) -> None:
        """A new scene begins."""
        ...

    def done(self, what: str) -> None:
        """A step happened as expected."""
        ...

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Something worth a closer look."""
        ...
