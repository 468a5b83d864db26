"""Who acts on the command line: a token, or a name where the home allows local identity."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from mcp_guard.cli.options import CLIENT, SUBJECT
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.build import Guard
    from mcp_guard.model.principal import Principal

_Command = TypeVar("_Command", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts: a token, or a name where local identity is allowed."""

    subject: str | None
    client: str | None
    token: str | None

    async def principal(self, guard: "Guard") -> "Principal":
        """A name that was typed goes before the variable; a token that was typed excludes names."""
        if self.token is not None and (self.subject or self.client):
            raise UsageError("--token excludes --as and --client.", hint="the token says who acts")
        token = self.token if self.token is not None else os.environ.get("MCP_GUARD_TOKEN") or None
        if token is None or self.subject or self.client:
            return guard.declare(self.subject, self.client)
        return await guard.authenticate(token)


def acting(command: _Command) -> _Command:
    """The options of a command that acts as somebody: `subject`, `client`, `token`."""
    for option in (
        click.option("--token", help="A bearer token (else MCP_GUARD_TOKEN)."),
        click.option("--client", type=CLIENT, help="The agent acting for them."),
        click.option("--as", "subject", type=SUBJECT, help="Who acts (where local identity is allowed)."),
    ):
        command = option(command)
    return command
