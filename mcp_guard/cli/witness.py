"""`mcp-guard audit witness`: a stand-alone witness for the logs of other machines. Needs no home."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcp_guard.cli.options import ADDRESS, LOG_KEY
from mcp_guard.cli.output import Output, pass_output, print_error
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.audit.witness import Answer, Witness


@click.command()
@click.option("--listen", "address", required=True, type=ADDRESS, metavar="HOST:PORT", help="Where it is asked.")
@click.option(
    "--dir",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Its key and what it signed; made at first, never to be copied back from a backup.",
)
@click.option(
    "--log",
    "logs",
    required=True,
    multiple=True,
    type=LOG_KEY,
    metavar="VKEY",
    help="A log it is for, by its public key; repeatable.",
)
@click.option("--name", metavar="NAME", help="What its key is called when it is made.")
@pass_output
def witness(output: Output, address: tuple[str, int], directory: Path, logs: Any, name: str | None) -> None:
    """Be a witness for the logs of other machines until told to stop (c2sp.org/tlog-witness).

    It signs what a log says of itself only where that continues what it signed before. Its public key is printed: the
    log's home names it under audit.anchors, and auditors give it to `audit verify --witness`. With --json: {"key",
    "url"} once it listens.
    """
    import asyncio

    from mcp_guard.audit.witness import Witness
    from mcp_guard.kit.clock import SystemClock

    opened = Witness.open(directory, logs, SystemClock(), name)
    try:
        listened = asyncio.run(_serve(output, opened, *address))
    finally:
        opened.close()
    if not listened:
        hint = "another program may be using the port; choose one with --listen HOST:PORT"
        raise UsageError(f"cannot listen on {address[0]}:{address[1]}", hint=hint)


async def _serve(output: Output, witness: "Witness", host: str, port: int) -> bool:
    from mcp_guard.kit.signals import stop_on_signals
    from mcp_guard.server.witness import serve_witness

    told: set[str] = set()

    def announce(host: str, port: int) -> None:
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        output.data({"key": str(witness.key), "url": url}, (str(witness.key),))
        output.note(f"listening on {url}")

    def on_answer(answer: "Answer") -> None:
        if answer.forked is not None and answer.forked not in told:  # said once: strangers can repeat it at will
            told.add(answer.forked)
            print_error(f"FORK? {answer.forked} signed a head that is not what this witness signed before")
        elif answer.status >= 500 and "" not in told:
            told.add("")
            print_error("the directory of the witness cannot be read or written; nothing is signed")

    try:
        async with stop_on_signals() as stop:
            await serve_witness(witness, host, port, stop=stop, on_listening=announce, on_answer=on_answer)
    except SystemExit:  # how uvicorn says that it cannot listen
        return False
    return True
