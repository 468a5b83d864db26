"""Whether the log can be written, as of the last attempt."""

from mcp_guard.kit.clock import Clock
from mcp_guard.model.errors import StoreUnavailable


class Health:
    """The last word of the store. `since_us` is when writing began to fail; `reason` says why.

    `queued` units wait for their batch; `kept` outcomes wait for the store to work again. `missed` counts what was
    refused since the last gap was put on record.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.since_us: int | None = None
        self.reason = ""
        self.hint = ""
        self.queued = 0
        self.kept = 0
        self.signing = ""
        self.missed = 0
        self._gap = (0, 0)

    @property
    def ok(self) -> bool:
        return self.since_us is None

    def worked(self) -> None:
        """A record became durable."""
        if self.since_us is not None:
            self.since_us = None
            self.reason = self.hint = ""

    def failed(self, error: StoreUnavailable) -> None:
        """A record did not."""
        now = self._clock.now_us()
        self.reason, self.hint = error.message, error.hint
        if self.since_us is None:
            self.since_us = now
        self._gap = (self._gap[0] if self.missed else now, now)
        self.missed += 1

    def gap(self) -> dict[str, str | int]:
        """What the log is owed about the time it could not be written: a `fault`."""
        first, last = self._gap
        return {"code": "audit_unavailable", "where": "store", "count": self.missed, "us": max(0, last - first)}

    def as_dict(self) -> dict[str, object]:
        """For `audit://status`: `reason` and `since_us` only while writing fails."""
        found: dict[str, object] = {"ok": self.ok, "queued": self.queued, "kept": self.kept}
        if self.since_us is not None:
            found |= {"reason": self.reason, "since_us": self.since_us}
        if self.signing:
            found["signing"] = self.signing
        return found
