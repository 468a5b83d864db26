"""Calls that outlive the token they were made with: what somebody asked for is not done once it is revoked."""

from collections.abc import Callable
from dataclasses import dataclass

from mcp_guard.identity.token import TokenRecord
from mcp_guard.model.decision import RULE_REVOKED, Decision, Effect
from mcp_guard.model.principal import Principal

REVOKED = "the token this was asked for with was revoked"


@dataclass(frozen=True, slots=True)
class Revocations:
    """`find` looks a token up by its id; it raises `StoreUnavailable`.

    One that has merely expired since was good when it was used. One that is not there any more counts as revoked.
    """

    find: Callable[[str], TokenRecord | None]

    def decision(self, principal: Principal, policy: str) -> Decision | None:
        """The denial of somebody who was known by a token that is revoked by now, or `None`."""
        if not principal.token:
            return None
        record = self.find(principal.token)
        if record is not None and record.revoked_at is None:
            return None
        return Decision(Effect.DENY, RULE_REVOKED, REVOKED, policy)
