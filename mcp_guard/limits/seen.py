"""What an agent has already been shown: the labels of tools whose answers it got, remembered for a while.

Remembered is by tenant, subject and agent: another agent of the same person is another memory. Whoever takes part in a
delegation is shown what comes back and has a say in what goes out, so a label is noted for every hop, and what any
hop was shown counts. So nobody launders what it saw through an agent of its own.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Transaction, Value, Work


@dataclass(frozen=True, slots=True)
class Seen:
    """The `seen` table of a store. `window` is how long a label counts after it was last returned, in seconds."""

    store: Store
    window: float

    def by(self, principal: Principal) -> frozenset[str]:
        """The labels that count for `principal` now: a point look-up, never cached (ADR 6).

        Raises `StoreUnavailable` where it cannot be known.
        """
        who = _who(principal) | {"since": self._since(self.store.clock.now_us())}
        row = self.store.reader.peek("seen_of", who)
        assert row is not None, "an aggregate has a row"
        return frozenset(json.loads(str(row[0])))

    def noting(self, principal: Principal, labels: Collection[str]) -> Work | None:
        """What a unit has to do so that its answer is remembered once it is durable; `None` where there is nothing.

        It also forgets whatever no longer counts for anybody, which bounds the table.
        """
        if not labels:
            return None
        now = self.store.clock.now_us()
        note = _who(principal) | {"labels": json.dumps(sorted(labels)), "seen_at": now}

        def work(transaction: Transaction) -> None:
            transaction.run("seen_forget", {"since": self._since(now)})
            transaction.run("seen_note", note)

        return work

    def _since(self, now_us: int) -> int:
        return now_us - int(self.window * 1_000_000)


def _who(principal: Principal) -> dict[str, Value]:
    clients: Sequence[str] = (principal.client, *principal.chain)
    return {"tenant": principal.tenant, "subject": principal.subject, "clients": json.dumps(clients)}
