"""Where change control stands between the files of a home and what is in force."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_guard.admin.loosening import Rulebook, loosenings
from mcp_guard.build.definition import Definition, define
from mcp_guard.build.questions import questions_of_cases
from mcp_guard.config.home import Home
from mcp_guard.kit.clock import SystemClock, as_datetime
from mcp_guard.model.decision import AccessRequest, Decision
from mcp_guard.model.errors import Invalid, Refused, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.model.problem import Problem
from mcp_guard.policy.names import POLICY

if TYPE_CHECKING:
    from mcp_guard.admin.change_control import ChangeControl
    from mcp_guard.store.transaction import Transaction

    Work = Callable[[Transaction], None]

SHOWN = 12
"""Digits of a change's name that are shown and have to be typed: nothing is looked up by them."""

_HINT = "`mcp-guard policy confirm` shows what it lets through and takes the confirmations of two people"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A change that lets more through than what is in force, and too few people have confirmed it."""

    change: str
    loosens: Sequence[str]

    def as_problem(self) -> Problem:
        what = f"change {self.change[:SHOWN]} waits for confirmation, because it lets more through: {self.loosens[0]}"
        more = f" (and {len(self.loosens) - 1} more)" if len(self.loosens) > 1 else ""
        return Problem("unconfirmed", what + more, "policy", hint=_HINT)


def rulebook_of(definition: Definition) -> Rulebook:
    """What change control compares."""
    return Rulebook.of(definition.policy, definition.directory, definition.catalog)


async def judge(control: "ChangeControl", definition: Definition) -> "Work | Waiting | None":
    """What makes a definition the accepted one; `None` where it is already; or that it has to wait.

    It is held against what the store says was accepted, which another process may have moved. The first one ever is
    accepted as it is. The comparison runs on another thread.
    """
    import asyncio

    accepted, proposed = await control.accepted(), rulebook_of(definition)
    if accepted is None:
        return control.accepting(proposed)
    if accepted.change == proposed.change:
        return None
    found = await asyncio.to_thread(loosenings, accepted, proposed, questions_of_cases(definition))
    if found and not await control.is_confirmed(proposed.change):
        return Waiting(proposed.change, found)
    return control.accepting(proposed)


async def admit(control: "ChangeControl", definition: Definition) -> None:
    """At a start: refuse files that wait for confirmation, or a restart would be a way around the second person.

    Raises `Invalid`.
    """
    verdict = await judge(control, definition)
    if isinstance(verdict, Waiting):
        raise Invalid([verdict.as_problem()])
    if verdict is not None:
        state = {"what": "accepted", "policy": definition.policy.version, "change": rulebook_of(definition).change}
        await control.journal.config(state, work=verdict)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the files of a home would change, and what is needed to confirm it."""

    definition: Definition
    accepted: Rulebook
    proposed: Rulebook
    loosens: Sequence[str]
    confirmers: Sequence[str]
    control: "ChangeControl"
    authenticate: Callable[[str], Principal]
    frozen: Callable[[Principal], Decision | None]

    @property
    def change(self) -> str:
        """What the change is called."""
        return self.proposed.change

    async def confirm(self, change: str, token: str) -> Sequence[str]:
        """Confirm the change, as whoever the token stands for; everybody who confirmed it by now.

        `change` is its name or the beginning that was shown: what is confirmed is what the files say now. Raises
        `UsageError` where they are not that change (any more), `Unauthenticated` and `Refused`.
        """
        if len(change) < SHOWN or not self.change.startswith(change) or not self.loosens:
            raise UsageError("The files of this home are not that change.", hint=_HINT)
        who = self.authenticate(token)
        if self.accepted.person(who.subject) != self.proposed.person(who.subject):
            raise Refused("policy_denied", "nobody confirms a change of what is known of themselves")
        now = as_datetime(SystemClock().now_us())
        asked = AccessRequest(who, "approve", POLICY, now, None, self.definition.environment)
        decision = self.frozen(who) or self.accepted.policy.decide(asked)
        return await self.control.confirm(who, decision, self.change)


@asynccontextmanager
async def open_proposal(home: Home) -> AsyncIterator[Proposal]:
    """What the files of a home would change. Raises `Invalid`, and `UsageError` where nothing is under control yet."""
    import asyncio

    from mcp_guard.admin.change_control import ChangeControl
    from mcp_guard.build.wiring import open_journal
    from mcp_guard.identity.authenticate import Authenticator
    from mcp_guard.identity.store import TokenStore
    from mcp_guard.limits.freeze import NO_TOOL, Freezes
    from mcp_guard.secrets.redact import Redactor

    definition = define(home)
    async with open_journal(home, Redactor()) as (store, journal):
        control = ChangeControl(store, journal, SystemClock())
        accepted = await control.accepted()
        if accepted is None:
            hint = "policy.change_control: second-person takes the files over at the next start"
            raise UsageError("No policy is under change control here.", hint=hint)
        proposed = rulebook_of(definition)
        found = await asyncio.to_thread(loosenings, accepted, proposed, questions_of_cases(definition))
        bearer = Authenticator(lambda: definition.directory, TokenStore(store).find, SystemClock()).bearer
        yield Proposal(
            definition,
            accepted,
            proposed,
            found,
            await control.confirmers(proposed.change),
            control,
            bearer,
            lambda who: Freezes(store).decision(who, NO_TOOL, accepted.policy.version),
        )
