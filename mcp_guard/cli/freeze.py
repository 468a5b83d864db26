"""`mcp-guard freeze` and `mcp-guard unfreeze`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from mcp_guard.cli.options import CLIENT, SUBJECT, TENANT
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.errors import Invalid, UsageError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from mcp_guard.admin.freeze import FreezeAdmin
    from mcp_guard.config.home import Home
    from mcp_guard.limits.freeze import Freeze

_Command = TypeVar("_Command", bound=Callable[..., object])

_COLUMNS = ("id", "target", "reason", "frozen_at")


def _selectors(command: _Command) -> _Command:
    """The four ways to name what is meant; a command takes one of them."""
    for option in (
        click.option("--tenant", type=TENANT, help="Everybody acting in this tenant."),
        click.option("--tool", metavar="TOOL", help="Every call of this tool, resource:NAME or prompt:NAME."),
        click.option("--client", type=CLIENT, help="Whatever this agent takes part in."),
        click.option("--subject", type=SUBJECT, help="Whatever this person or service takes part in."),
    ):
        command = option(command)
    return command


@click.command()
@_selectors
@click.option("--reason", help="Why, in one line; recorded, and told to whoever is stopped.")
@click.option("--list", "listing", is_flag=True, help="Show what is frozen instead.")
@pass_output
def freeze(
    output: Output,
    *,
    subject: str | None,
    client: str | None,
    tool: str | None,
    tenant: str | None,
    reason: str | None,
    listing: bool,
) -> None:
    """Stop a subject, client, tool or tenant from the next decision on, in every process.

    Calls and readings of the log are refused with code `frozen` and the reason; delegations through the target too.
    Nothing is hidden, and what is already running ends as usual. Works while tools or policy of the home are broken.
    """
    given = _given(subject=subject, client=client, tool=tool, tenant=tenant)
    if listing:
        if given or reason is not None:
            raise UsageError("--list takes no other option.")
        _list(output)
        return
    if reason is None:
        raise UsageError("A freeze needs a reason.", hint="add --reason TEXT")
    stopped = _target(given)
    home = output.load_home()
    made, is_new = _with(home, lambda admin: admin.freeze(stopped, reason))
    output.data(_shown(made), (f"frozen {made.target} ({made.id})",))
    if not is_new:
        output.note(f"it was frozen before, because: {made.reason}")
    elif tool is not None:
        _warn_of_unknown(output, home, tool)


@click.command()
@click.argument("identifier", metavar="[ID]", required=False)
@_selectors
@pass_output
def unfreeze(
    output: Output,
    *,
    identifier: str | None,
    subject: str | None,
    client: str | None,
    tool: str | None,
    tenant: str | None,
) -> None:
    """Lift a freeze, named by its ID or by what it stops. Works while tools or policy of the home are broken."""
    given = _given(subject=subject, client=client, tool=tool, tenant=tenant)
    if identifier is not None and given:
        raise UsageError("Give either an ID or what is frozen.")
    which = identifier or _target(given)
    lifted = _with(output.load_recorded_home(), lambda admin: admin.unfreeze(which))
    output.data({**_shown(lifted), "unfrozen": True}, (f"unfrozen {lifted.target} ({lifted.id})",))


def _given(**selectors: str | None) -> dict[str, str]:
    return {kind: name for kind, name in selectors.items() if name is not None}


def _target(given: dict[str, str]) -> str:
    from mcp_guard.admin.freeze import target

    if len(given) != 1:
        raise UsageError("Name one target.", hint="--subject, --client, --tool or --tenant")
    ((kind, name),) = given.items()
    return target(kind, name)  # type: ignore[arg-type]  # the options are the kinds


_Result = TypeVar("_Result")


def _with(home: "Home", use: "Callable[[FreezeAdmin], Coroutine[None, None, _Result]]") -> _Result:
    import asyncio

    from mcp_guard.build import open_freezing

    async def carry_out() -> _Result:
        async with open_freezing(home) as admin:
            return await use(admin)

    return asyncio.run(carry_out())


def _list(output: Output) -> None:
    import asyncio

    from mcp_guard.build import open_freezes

    home = output.load_recorded_home()

    async def fetch() -> "list[Freeze]":
        async with open_freezes(home) as freezes:
            return await freezes.all()

    rows = [_shown(found) for found in asyncio.run(fetch())]
    output.table(rows, _COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])


def _warn_of_unknown(output: Output, home: "Home", tool: str) -> None:
    """A freeze of nothing is allowed, for a tool may come back; but somebody in a hurry may have mistyped."""
    from mcp_guard.manifest.load import load
    from mcp_guard.policy.names import did_you_mean

    try:
        known = load(home.directory, home.settings.tools, reserved=home.reserved)
    except Invalid:
        return
    if tool not in known:
        output.note(f"no tool of this home is called {tool}. {did_you_mean(tool, known)}".strip())


def _shown(freeze: "Freeze") -> dict[str, object]:
    since = as_datetime(freeze.frozen_at).isoformat(timespec="seconds")
    return {"id": freeze.id, "target": freeze.target, "reason": freeze.reason, "frozen_at": since}
