"""The filters of `mcp-guard audit query`, `tail` and `export`."""

from collections.abc import Callable
from typing import Any

import click

from mcp_guard.cli.options import MOMENT

# Words of contract section 6; importing them from their packages would cost more than they are.
_KINDS = ("intent", "outcome", "approval", "task", "config", "boot", "shutdown")
_MORE_KINDS = ("key", "anchor", "erase", "prune", "fault", "read")
_STATUSES = ("ok", "refused", "error", "timeout", "cancelled", "unknown")
_EFFECTS = ("allow", "deny", "require_approval")


def filtering(command: Callable[..., None]) -> Callable[..., None]:
    """What records say: the filters that all commands have in common."""
    options = (
        click.option("--actor", help="A subject, for example user:alice."),
        click.option("--client", help="An agent, for example agent:desktop."),
        click.option("--tenant", help="A tenant."),
        click.option("--tool", help="A tool by name."),
        click.option("--effect", type=click.Choice(_EFFECTS), help="What policy decided."),
        click.option("--rule", help="The rule that decided, by its id."),
        click.option("--would", type=click.Choice(_EFFECTS[1:]), help="What policy would have done, in observe mode."),
        click.option("--kind", type=click.Choice(_KINDS + _MORE_KINDS), help="The kind of record."),
        click.option("--status", type=click.Choice(_STATUSES), help="How a call ended."),
        click.option("--code", help="The code of a refusal or failure; `explain` knows them."),
        click.option("--call", help="A call by its id."),
        click.option("--task", help="A task by its id."),
        click.option("--trace", help="A W3C trace by its id, 32 hex digits."),
        click.option("--text", help="Words that begin words of the tool's name or the reason."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def within(command: Callable[..., None]) -> Callable[..., None]:
    """Where in the log, and when."""
    options = (
        click.option("--after", type=click.IntRange(0), metavar="N", help="Only records with a larger number."),
        click.option("--before", type=click.IntRange(0), metavar="N", help="Only records with a smaller number."),
        click.option("--since", type=MOMENT, help="Only from then on: 2026-01-05T12:00:00Z, or how long ago: 2h."),
        click.option("--until", type=MOMENT, help="Only before then."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def filters_of(**values: Any) -> Any:
    """`audit.query.Filters`, which is imported when it is needed."""
    from mcp_guard.audit.query import Filters

    return Filters(**values)
