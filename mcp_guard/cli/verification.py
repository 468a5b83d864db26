"""`mcp-guard audit verify|verifier`: can the log be believed, also by people who do not trust us."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcp_guard.cli.options import AGE, APPROVERS, ARCHIVE, CERTIFICATES, CHECKPOINT, KNOWN, LOG_KEY, WITNESS_KEY
from mcp_guard.cli.output import Output, pass_output, print_error
from mcp_guard.model.errors import GuardError

if TYPE_CHECKING:
    from mcp_guard.audit.examine import Evidence
    from mcp_guard.config.home import Home


@click.command()
@click.argument("source", metavar="[STORE|FILE.jsonl|ARCHIVE]", required=False, type=click.Path(path_type=Path))
@click.option("--key", "keys", multiple=True, type=LOG_KEY, metavar="VKEY", help="A key of the log, of any epoch.")
@click.option(
    "--checkpoint", "checkpoints", multiple=True, type=CHECKPOINT, metavar="FILE", help="A checkpoint you kept."
)
@click.option(
    "--witness", "witnesses", multiple=True, type=WITNESS_KEY, metavar="VKEY", help="The key of a witness you trust."
)
@click.option(
    "--tsa",
    "authorities",
    multiple=True,
    type=CERTIFICATES,
    metavar="FILE",
    help="Root certificates of a time-stamp authority you trust, PEM.",
)
@click.option(
    "--require-anchor-age", "age", type=AGE, metavar="24h", help="Somebody elsewhere must have confirmed it since then."
)
@click.option(
    "--expect",
    type=KNOWN,
    metavar="N:LEAF",
    help="Record N must have this leaf: what you kept of the log, for example `n` and `leaf` of a receipt.",
)
@click.option(
    "--archive", type=ARCHIVE, metavar="DIR", help="Verify together with the records pruned into this archive."
)
@click.option(
    "--approvers",
    type=APPROVERS,
    metavar="FILE",
    help="Whose keys sign decisions, as an allowed_signers file; implies --deep.",
)
@click.option("-j", "--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes to use.")
@click.option(
    "--deep",
    is_flag=True,
    help="Also the form of every record, signed decisions, stored values, and the index beside the log.",
)
@pass_output
@click.pass_context
def verify(ctx: click.Context, output: Output, /, source: Path | None, jobs: int, deep: bool, **given: Any) -> None:
    """Verify this home's log, or a store or an exported file; exit 8 if it is broken. The home's own keys and the
    witnesses and authorities it names are used unless others are given.

    A log that was pruned verifies from its cut on, and with --archive from its first record on; a directory is verified
    as such an archive.

    The chain shows that nothing inside was changed. That the end was not cut off, and that not everything was written
    anew, only something from elsewhere can show: a checkpoint, a witness, a receipt.
    """
    from mcp_guard.audit.evidence import describe
    from mcp_guard.audit.key_files import published
    from mcp_guard.audit.progress import bar
    from mcp_guard.audit.verify import forks
    from mcp_guard.audit.verify import verify as verify_log

    archive = given.pop("archive")
    complete = not given["keys"]
    if (home := _home_of(output, source)) is not None:
        given["keys"] = given["keys"] or published(home.keys)
        given["witnesses"] = given["witnesses"] or home.settings.audit.witnesses
        given["authorities"] = given["authorities"] or home.authorities
    found = _evidence(complete=complete, **given)
    source = output.load_recorded_home().store if source is None else source
    draw = None if output.as_json or output.verbosity < 0 else partial(bar, terminal=sys.stderr)
    deep = deep or found.approvers is not None
    report = verify_log(source, archive=archive, deep=deep, evidence=found, workers=jobs, progress=draw)
    output.data(report.as_dict(), describe(report, found.trust.keys if found.trust else ()))
    for anchor in forks(source):
        print_error(f"FORK: {anchor} knows another log than this; see `mcp-guard audit status`")
    if not report.ok:
        ctx.exit(8)


@click.command()
@pass_output
def verifier(output: Output) -> None:
    """Print a verifier that needs nothing but Python: one file, made of the lines `audit verify` runs on."""
    from mcp_guard.audit.bundle import bundle

    source = bundle()
    output.data({"source": source}, source.splitlines())


def _evidence(
    *,
    keys: Any,
    complete: bool,
    checkpoints: Any,
    witnesses: Any,
    authorities: Any,
    age: int | None,
    expect: Any,
    approvers: Any,
) -> "Evidence":
    import time

    from mcp_guard.audit.verify import Evidence, Fresh, Trust, verify_signature

    stamped = None
    if authorities:
        from mcp_guard.audit.timestamp import Authorities

        stamped = Authorities.of(*authorities).seen
    return Evidence(
        statements=checkpoints,
        trust=Trust(verify_signature, keys, witnesses, complete, stamped) if keys or witnesses or stamped else None,
        known=expect,
        fresh=None if age is None else Fresh(age, int(time.time())),
        approvers=approvers,
    )


def _home_of(output: Output, source: Path | None) -> "Home | None":
    """The home whose log this is: somebody else's is for other keys to judge."""
    from mcp_guard.audit.key_files import published
    from mcp_guard.audit.verify import is_log_of

    if source is None:
        return output.load_home()
    try:
        home = output.load_home()
        keys = published(home.keys)
    except GuardError:  # no home is needed to verify a file
        return None
    return home if keys and is_log_of(source, keys[0].name) else None
