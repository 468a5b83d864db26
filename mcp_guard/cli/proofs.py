"""`mcp-guard audit checkpoint|prove|check-proof`: what can be shown to people who do not trust this machine."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcp_guard.cli.options import ARCHIVE, LEAF, LOG_KEY
from mcp_guard.cli.output import Output, pass_output, print_error
from mcp_guard.model.errors import LogBroken, UsageError

if TYPE_CHECKING:
    from mcp_guard.admin.anchoring import Attempt
    from mcp_guard.audit.proof_file import Checked, ProofFile
    from mcp_guard.model.note import VerifierKey
    from mcp_guard.store.values import Signed

_MOST_DIGITS = 15
_LARGEST = 64 * 1024 * 1024


@click.command()
@click.option(
    "--rotate", is_flag=True, help="Change to a new signing key first; the old one vouches for it and is gone."
)
@click.option(
    "--anchor", is_flag=True, help="Have every anchor of audit.anchors confirm it now; exit 7 if one does not."
)
@pass_output
@click.pass_context
def checkpoint(ctx: click.Context, output: Output, rotate: bool, anchor: bool) -> None:
    """Sign the log as it is and print the signed note (c2sp.org/tlog-checkpoint).

    Keep it somewhere else: with it, `audit verify --checkpoint` can tell later that nothing before it was changed or
    removed. With --json: {"checkpoint", "size", "key", "anchors"?}. Exit 8 if an anchor knows another log than this.
    """
    import asyncio

    signed, key, attempts = asyncio.run(_sign(output, rotate=rotate, anchor=anchor))
    if rotate:
        output.note(f"the key in force is {key}")
    if output.as_json:
        anchors = {"anchors": [attempt.as_dict() for attempt in attempts]} if anchor else {}
        output.data({"checkpoint": signed.note.decode(), "size": signed.size, "key": str(key)} | anchors, ())
    else:
        sys.stdout.write(signed.note.decode())
        for attempt in attempts:
            _tell(output, attempt)
    states = {attempt.state for attempt in attempts}
    ctx.exit(8 if "FORK" in states else 7 if "failing" in states else 0)


def _tell(output: Output, attempt: "Attempt") -> None:
    which = f"{attempt.kind} {attempt.name}"
    if attempt.error is None:
        output.note(f"{which}: {attempt.state}, {attempt.size} records")
        return
    print_error(f"{which}: {attempt.state}: {attempt.error.message}")
    if attempt.error.hint:
        output.note(f"  hint: {attempt.error.hint}")


async def _sign(output: Output, *, rotate: bool, anchor: bool) -> "tuple[Signed, VerifierKey, list[Attempt]]":
    from mcp_guard.build import open_signing

    async with open_signing(output.load_recorded_home()) as (signing, key, anchoring):
        if anchor and anchoring is None:
            raise UsageError(
                "This home names no anchors.", hint="audit.anchors in mcp-guard.yaml; docs/audit.md shows how"
            )
        in_force = await signing.rotate() if rotate else key
        signed = await signing.newest()
        return signed, in_force, await anchoring.now() if anchor and anchoring is not None else []


@click.command()
@click.argument("which", metavar="CALL|N")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="Write it there instead of to stdout.")
@click.option("--archive", type=ARCHIVE, metavar="DIR", help="Where pruned records are (default: audit.archive).")
@pass_output
def prove(output: Output, which: str, target: Path | None, archive: Path | None) -> None:
    """Prove that the records of a call, or record N, stand in the signed log (c2sp.org/tlog-proof).

    Whoever has the file and the log's public key checks it with `audit check-proof`, without this machine. The records
    are in it as they were stored: commitments, never values. A record that was pruned is proven by its number N; its
    line comes from the archive.
    """
    import asyncio

    from mcp_guard.audit.export import private_file

    text = asyncio.run(_prove(output, which, archive)).format()
    if target is not None:
        with private_file(target) as file:
            file.write(text)
        output.note(f"written: {target}")
    elif output.as_json:
        output.data({"proof": text.decode()}, ())
    else:
        sys.stdout.write(text.decode())


async def _prove(output: Output, which: str, archive: Path | None) -> "ProofFile":
    from mcp_guard.build import open_proofs
    from mcp_guard.store.finder import number_of

    async with open_proofs(output.load_recorded_home(), archive) as (proofs, query):
        if which.isascii() and which.isdigit() and len(which) <= _MOST_DIGITS:
            return await proofs.inclusion([int(which)])
        records = await query.call(which)
        if not records:
            raise UsageError("There is no such call in the log.", hint="`mcp-guard audit query` shows their ids")
        return await proofs.inclusion(number_of(record) for record in records)


@click.command("check-proof")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", "keys", multiple=True, required=True, type=LOG_KEY, help="A public key of the log; repeatable.")
@click.option("--leaf", type=LEAF, metavar="HEX", help="The leaf that a receipt names, for a proof without records.")
@pass_output
def check_proof(output: Output, file: Path, keys: "tuple[VerifierKey, ...]", leaf: bytes | None) -> None:
    """Check a proof with nothing but the log's public key; exit 8 if it does not hold.

    With --json: {"ok", "origin", "size", "keys", "records"}.
    """
    from mcp_guard.audit.proof_file import ProofFile, check_leaf
    from mcp_guard.audit.verify import verify_signature
    from mcp_guard.model.note import NoteError

    if file.stat().st_size > _LARGEST:
        raise UsageError("The file is too large for a proof.", hint="`mcp-guard audit prove` makes one")
    try:
        data = file.read_bytes()
        if leaf is None:
            checked = ProofFile.parse(data).check(keys, verify_signature)
        else:
            checked = check_leaf(data, leaf, keys, verify_signature)
    except NoteError as error:
        raise LogBroken(f"the proof does not hold: {error}", hint="ask for another one, and be wary") from None
    records = [json.loads(line) for line in checked.lines]
    shown = {
        "ok": True,
        "origin": checked.origin,
        "size": checked.size,
        "keys": [str(key) for key in checked.keys],
        "records": records,
    }
    output.data(shown, [*_told(checked), *(json.dumps(record, indent=2) for record in records)])


def _told(checked: "Checked") -> list[str]:
    proven = f"{len(checked.lines)} record(s) stand" if checked.lines else "the record with this leaf stands"
    return [
        f"log: {checked.origin}",
        f"signed: {checked.size} records, by {', '.join(f'{key.name}+{key.key_id.hex()}' for key in checked.keys)}",
        f"ok: {proven} in it",
    ]
