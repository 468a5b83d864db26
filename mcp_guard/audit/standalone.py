"""The stand-alone verifier's command line: what `mcp-guard audit verify FILE` does, with nothing but Python.

Standard library and pure modules only; `bundle` writes these lines at the end of the one file.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from mcp_guard.audit.decision_check import DecisionRules
from mcp_guard.audit.evidence import (
    EvidenceError,
    approver_keys,
    checkpoint_file,
    describe,
    known_record,
    log_key,
    whole_seconds,
    witness_key,
)
from mcp_guard.audit.examine import Evidence, Fresh, examine
from mcp_guard.audit.line_file import file_pieces, file_size
from mcp_guard.audit.progress import bar
from mcp_guard.audit.record_form import Record
from mcp_guard.audit.span import Task
from mcp_guard.audit.statements import Trust
from mcp_guard.model.ed25519 import verify
from mcp_guard.model.p256 import verify_p256
from mcp_guard.model.sshsig import CurveChecks

_T = TypeVar("_T")

_LARGEST, _SMALLEST = 2**64 - 1, -(2**63)
_MOST_JOBS = 256
_DATABASE = b"SQLite format 3\x00"
BROKEN, USAGE = 8, 2


def main(arguments: Sequence[str]) -> int:
    """Verify one exported log; the exit status: 0, 8 where it is broken or cannot be read, 2 for wrong arguments."""
    given = _parser().parse_args(arguments)
    evidence = Evidence(
        statements=tuple(given.checkpoint),
        trust=Trust(verify, tuple(given.key), tuple(given.witness)) if given.key or given.witness else None,
        known=given.expect,
        fresh=Fresh(given.require_anchor_age, int(time.time())) if given.require_anchor_age is not None else None,
        approvers=given.approvers,
    )
    rules = DecisionRules(CurveChecks(verify, verify_p256))
    task = Task(parse=parse_plainly, decisions=rules) if given.deep or given.approvers is not None else Task()
    try:
        with given.file.open("rb") as file:
            if file.read(len(_DATABASE)) == _DATABASE:
                return _fail("this is a database: write its log to a file first, `mcp-guard audit export`", USAGE)
        told = bar(file_size(given.file), sys.stderr) if not (given.json or given.quiet) else None
        report = examine(file_pieces(given.file), task, evidence, workers=given.jobs, progress=told)
    except OSError as error:
        return _fail(f"the file cannot be read: {error.strerror}", BROKEN)
    if given.json:
        sys.stdout.write(json.dumps(report.as_dict()) + "\n")
    else:
        for line in describe(report, given.key):
            sys.stdout.write("".join(part if part.isprintable() else "?" for part in line) + "\n")
    return 0 if report.ok else BROKEN


def parse_plainly(line: bytes) -> Record | None:
    """The record on a line, or `None` where there is none, by the standard library's JSON."""
    try:
        record = json.loads(line, parse_constant=_refuse, parse_int=_integer)
        again = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and again == line else None


def _integer(digits: str) -> int:
    number = int(digits)
    if not _SMALLEST <= number <= _LARGEST:
        raise ValueError("not an integer of 64 bits")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Verify an exported audit log of mcp-guard. Exit 0: it holds. 8: it is broken. 2: wrong usage.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("file", type=Path, help="the exported log, one record a line")
    add("--key", action="append", default=[], type=_as(log_key), metavar="VKEY", help="a key of the log, of any epoch")
    add(
        "--checkpoint",
        action="append",
        default=[],
        type=_as(checkpoint_file),
        metavar="FILE",
        help="a checkpoint you kept",
    )
    add("--witness", action="append", default=[], type=_as(witness_key), metavar="VKEY", help="a witness you trust")
    add("--require-anchor-age", type=_as(whole_seconds), metavar="24h", help="somebody elsewhere confirmed it since")
    add("--expect", type=_as(known_record), metavar="N:LEAF", help="a record you kept, for example of a receipt")
    add(
        "--approvers",
        type=_as(approver_keys),
        metavar="FILE",
        help="whose keys sign decisions (allowed_signers); implies --deep",
    )
    add("--deep", action="store_true", help="also the form of every record, signed decisions, one outcome an intent")
    add("-j", "--jobs", type=_jobs, default=1, metavar="N", help="processes that share the work")
    add("--json", action="store_true", help="print one JSON document")
    add("-q", "--quiet", action="store_true", help="no progress bar")
    return parser


def _jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_JOBS)) and 1 <= int(text) <= _MOST_JOBS):
        raise argparse.ArgumentTypeError(f"expected a number of processes, 1 to {_MOST_JOBS}")
    return int(text)


def _as(convert: Callable[[str], _T]) -> Callable[[str], _T]:
    """For argparse, which shows the message of one kind of error only, and otherwise quotes the value."""

    def converted(text: str) -> _T:
        try:
            return convert(text)
        except EvidenceError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return converted
