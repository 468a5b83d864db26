"""Wiring of what outlives a call: the rows of tasks and approvals, and what carries them on."""

from functools import cache
from typing import TYPE_CHECKING

from mcp_guard.build.limits import limits_of
from mcp_guard.build.live import Live
from mcp_guard.build.notifying import outbox_of
from mcp_guard.kit.clock import SystemClock

if TYPE_CHECKING:
    from mcp_guard.admin.approvals import Approvals
    from mcp_guard.admin.grants import Grants
    from mcp_guard.admin.tasks import Tasks
    from mcp_guard.audit.journal import Journal
    from mcp_guard.confirming import Confirming
    from mcp_guard.granting import Granting
    from mcp_guard.identity.authenticate import Authenticator
    from mcp_guard.inline import Inline
    from mcp_guard.limits.seen import Seen
    from mcp_guard.model.principal import Principal
    from mcp_guard.parking import Parking
    from mcp_guard.pipeline import Pipeline
    from mcp_guard.runner import Runner
    from mcp_guard.store.store import Store


def parking_of(live: Live, store: "Store", journal: "Journal") -> "Parking":
    """The rows of tasks and approvals. The key is made when the first call is parked."""
    from mcp_guard.approval.store import ApprovalStore
    from mcp_guard.parking import Parking
    from mcp_guard.secrets.vault import load_or_make
    from mcp_guard.tasks.on_record import StepRecords
    from mcp_guard.tasks.store import SqliteEngine

    home = live.definition.home
    vault = cache(lambda: load_or_make(home.keys))
    return Parking(
        SqliteEngine(store, vault),
        ApprovalStore(store),
        journal,
        vault,
        SystemClock(),
        lambda subject: live.directory().profile(subject).keys,
        StepRecords(store),
        outbox_of(home, store),
    )


def runner_of(live: Live, parking: "Parking", pipeline: "Pipeline") -> "Runner":
    from mcp_guard.runner import Runner

    return Runner(parking, live.in_force, pipeline.call, SystemClock())


def granting_of(live: Live, store: "Store", parking: "Parking") -> "Granting":
    from mcp_guard.approval.grant_store import GrantStore
    from mcp_guard.deciding import Deciders
    from mcp_guard.granting import Granting
    from mcp_guard.limits.freeze import Freezes

    clock, local = SystemClock(), live.definition.home.settings.identity.local
    deciders = Deciders(parking, live.in_force, Freezes(store), clock, trusted_declared=local.approve)
    return Granting(GrantStore(store, parking.vault), parking, deciders, clock)


def approvals_of(live: Live, granting: "Granting", authenticator: "Authenticator") -> "Approvals":
    from mcp_guard.admin.approvals import Approvals

    local = live.definition.home.settings.identity.local

    def by_key(subject: str, client: str | None) -> "Principal":
        return authenticator.by_signature(subject, client or local.client, local.tenant)

    return Approvals(granting.parking, live.in_force, granting.deciders, SystemClock(), by_key)


def grants_of(live: Live, granting: "Granting", approvals: "Approvals", seen: "Seen") -> "Grants":
    from mcp_guard.admin.grants import Grants

    return Grants(granting, approvals, live.in_force, seen, limits_of(live, seen.store).spent, SystemClock())


def inline_of(live: Live, tasks: "Tasks", runner: "Runner") -> "Inline":
    from mcp_guard.inline import Inline
    from mcp_guard.kit.units import seconds

    wait = seconds(live.definition.home.settings.tasks.inline_wait)
    return Inline(tasks, runner, SystemClock(), wait)


def confirming_of(live: Live, approvals: "Approvals", tasks: "Tasks", inline: "Inline") -> "Confirming":
    from mcp_guard.confirming import Confirming
    from mcp_guard.kit.units import seconds

    wait = seconds(live.definition.home.settings.tasks.confirm_wait)
    return Confirming(approvals, tasks, inline, wait)


def tasks_of(live: Live, parking: "Parking", journal: "Journal") -> "Tasks":
    from mcp_guard.admin.tasks import Tasks

    refusals = live.definition.home.settings.policy.refusals
    return Tasks(parking, live.in_force, journal, SystemClock(), refusals)
