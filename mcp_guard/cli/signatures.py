"""`mcp-guard approvals signatures`: what was signed, as files for `ssh-keygen -Y verify`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcp_guard.cli.opened import with_guard
from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.approval.signed import Exhibit
    from mcp_guard.build import Guard


@click.command()
@click.argument("identifier", metavar="ID")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@pass_output
def signatures(output: Output, *, identifier: str, directory: Path) -> None:
    """Write the signed decisions about an approval into DIR: each message, and its signature beside it (.sig).

    The command that verifies one with stock OpenSSH is printed. It takes a file of the people's keys, one a line: their
    name, and a line of their .pub file.
    """
    from mcp_guard.model.signed_decision import NAMESPACE

    async def ask(guard: "Guard") -> "list[Exhibit]":
        return await guard.approvals.exhibits(identifier)

    rows, lines = [], []
    for number, found in enumerate(with_guard(output, ask), 1):
        message = directory / f"{number}.txt"
        signature = directory / f"{number}.txt.sig"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            message.write_bytes(found.message)
            signature.write_text(found.armored, encoding="ascii")
        except OSError as error:
            raise UsageError(f"DIR cannot be written: {error.strerror}") from None
        rows.append({"subject": found.subject, "message": str(message), "signature": str(signature)})
        verify = ["ssh-keygen", "-Y", "verify", "-f", "allowed_signers", "-I", found.subject, "-n", NAMESPACE]
        lines.append(f"{shlex.join([*verify, '-s', str(signature)])} < {shlex.quote(str(message))}")
    output.data(rows, lines)
    if not rows:
        output.note("nobody signed a decision about this")
