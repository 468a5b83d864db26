"""Freezing and unfreezing: an operator's stop button, each press on record."""

import re
from dataclasses import dataclass
from secrets import token_hex
from typing import Literal

from mcp_guard.admin.operator import checked_reason
from mcp_guard.audit.journal import Journal
from mcp_guard.identity.directory import is_principal_name, is_tenant_name
from mcp_guard.kit.clock import Clock
from mcp_guard.limits.freeze import TENANT, TOOL, AlreadyFrozen, Freeze, Freezes, NoSuchFreeze
from mcp_guard.model.errors import UsageError
from mcp_guard.model.tool import OBJECTS

_WHY = "it is recorded, and told to whoever is stopped"

Kind = Literal["subject", "client", "tool", "tenant"]

_TOOL_NAME = re.compile(rf"(?:{'|'.join(sorted({*OBJECTS.values()}))})[a-zA-Z][a-zA-Z0-9_-]{{0,63}}")
"""Of a tool, or of what is called like one: a resource, a template or a prompt of another server."""


def target(kind: Kind, name: str) -> str:
    """What a selector means. Raises `UsageError` for a name that nothing of that kind can have."""
    match kind:
        case "subject" if is_principal_name(name) and not name.startswith("agent:"):
            return name
        case "client" if is_principal_name(name) and name.startswith("agent:"):
            return name
        case "tool" if _TOOL_NAME.fullmatch(name):
            return TOOL + name
        case "tenant" if is_tenant_name(name):
            return TENANT + name
    raise UsageError(f"This is not the name of a {kind}.", hint="subjects are user:… or service:…, clients agent:…")


@dataclass(frozen=True, slots=True)
class FreezeAdmin:
    """Freeze use-cases of an operator with access to the store."""

    freezes: Freezes
    journal: Journal
    clock: Clock

    async def freeze(self, stopped: str, reason: str) -> tuple[Freeze, bool]:
        """Stop a target from the next decision on, in every process; the freeze, and whether it is new.

        A target that is stopped already keeps its first reason. Raises `UsageError` for a reason that cannot be shown.
        """
        freeze = Freeze(stopped, token_hex(4), checked_reason(reason, what="A freeze", hint=_WHY), self.clock.now_us())
        try:
            await self.freezes.insert(freeze, self.journal.entry("config", _state("frozen", freeze)))
        except AlreadyFrozen as already:
            return already.freeze, False
        return freeze, True

    async def unfreeze(self, which: str) -> Freeze:
        """Lift the freeze of a target, or the one with this id. Raises `UsageError` where there is none."""
        for freeze in await self.freezes.all():
            if which in (freeze.target, freeze.id):
                try:
                    await self.freezes.delete(freeze, self.journal.entry("config", _state("unfrozen", freeze)))
                except NoSuchFreeze:
                    break
                return freeze
        raise UsageError("Nothing like this is frozen.", hint="`mcp-guard freeze --list` shows what is")


def _state(what: str, freeze: Freeze) -> dict[str, object]:
    return {"what": what, "id": freeze.id, "target": freeze.target, "reason": freeze.reason}
