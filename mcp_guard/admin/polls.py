"""Questions that are kept open until something happens: as many as one may ask, and no more."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal

MAX_POLLS = 512
MAX_POLLS_PER_SUBJECT = 32
"""Of one subject, over all their connections: nobody takes everybody's place."""
TOO_MANY = "too many questions are kept open already: ask without wait_s, or later"


@dataclass(frozen=True, slots=True)
class Polls:
    """The questions that are kept open in this process."""

    held: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def one_more(self, principal: Principal) -> Iterator[None]:
        """Keep one open within the block. Raises `Refused` where there is no room for it."""
        subject = principal.subject
        if self.held[subject] >= MAX_POLLS_PER_SUBJECT or self.held.total() >= MAX_POLLS:
            raise Refused("rate_limited", TOO_MANY, retry_after_s=1)
        self.held[subject] += 1
        try:
            yield
        finally:
            self.held[subject] -= 1
            if not self.held[subject]:
                del self.held[subject]
