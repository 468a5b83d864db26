"""What somebody has from elsewhere, as text: keys, checkpoints, a record that was kept. And a verdict, as text.

Standard library and pure modules only: these lines are also part of the stand-alone verifier.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mcp_guard.audit.decision_check import Approvers
from mcp_guard.audit.examine import Known, Report
from mcp_guard.audit.statements import Statement
from mcp_guard.kit.units import seconds
from mcp_guard.model.note import COSIGNATURE, ED25519, MAX_NOTE_BYTES, NoteError, VerifierKey
from mcp_guard.model.sshsig import SshKey, SshsigError

_PATTERN = re.compile(r"[*?!\"]")
_MOST_APPROVER_BYTES = 1024 * 1024
_MOST_SIGNERS_TOLD = 20
_KNOWN = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})")


class EvidenceError(ValueError):
    """Something handed over as evidence is not what it should be. The message says what, never quoting it."""


def log_key(text: str) -> VerifierKey:
    """A key that signs checkpoints of a log, as a vkey. Raises `EvidenceError`."""
    return _verifier_key(text, ED25519, "a log's key")


def witness_key(text: str) -> VerifierKey:
    """A key that cosigns checkpoints of others, as a vkey. Raises `EvidenceError`."""
    return _verifier_key(text, COSIGNATURE, "a witness's key")


def checkpoint_file(path: str) -> Statement:
    """The signed checkpoint in a file. Raises `EvidenceError`, also where the file cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return Statement.parse(file.read(MAX_NOTE_BYTES + 1))
    except OSError as error:
        raise EvidenceError(f"the checkpoint cannot be read: {error.strerror}") from None
    except NoteError as error:
        raise EvidenceError(f"the file is no signed checkpoint: {error}") from None


def approver_keys(path: str) -> Approvers:
    """The keys of people who sign decisions, as in an `allowed_signers` file (ssh-keygen(1)): names, a key, perhaps a
    comment. Names are compared as they stand; neither patterns nor options are taken. Raises `EvidenceError`."""
    try:
        with Path(path).open("rb") as file:
            lines = file.read(_MOST_APPROVER_BYTES + 1).decode().splitlines()
    except OSError as error:
        raise EvidenceError(f"the approvers cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise EvidenceError("the file of approvers is not text") from None
    found: dict[bytes, set[str]] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            names, _, key = line.partition(" ")
            try:
                wire = SshKey.of_line(key).wire
            except SshsigError as error:
                raise EvidenceError(f"line {number} of the approvers: {error}") from None
            if _PATTERN.search(names):
                raise EvidenceError(
                    f"line {number} of the approvers: names are compared as they stand, without patterns"
                )
            found.setdefault(wire, set()).update(names.split(","))
    return found


def known_record(text: str) -> Known:
    """`N:LEAF`, as a receipt says it. Raises `EvidenceError`."""
    match = _KNOWN.fullmatch(text)
    if match is None:
        raise EvidenceError("expected N:LEAF, a record number and 64 hex digits, as `n` and `leaf` of a receipt")
    return Known(int(match.group(1)), match.group(2))


def whole_seconds(text: str) -> int:
    """A duration. Raises `EvidenceError`."""
    try:
        return int(seconds(text))
    except ValueError as error:
        raise EvidenceError(str(error)) from None


def describe(report: Report, keys: Sequence[VerifierKey]) -> Iterable[str]:
    """A verdict in lines for a person."""
    yield f"log: {report.origin or 'not named in the file'}"
    yield f"records: {report.records}" + (f", the first {report.cut.size} of them pruned" if report.cut else "")
    yield f"signed: {report.signed or 'never' if keys else 'not checked, no key was given'}"
    anchored = f"anchored: {report.anchored}"
    if report.newest is not None:
        anchored += f" (last by {report.newest.by} at {_when(report.newest.time)}, size {report.newest.size})"
    yield anchored
    yield from _describe_decided(report)
    if report.error is not None:
        yield f"BROKEN at record {report.error.n}: {report.error.what}"
    else:
        yield f"head: {report.head}"
        yield "ok"


def _describe_decided(report: Report) -> Iterable[str]:
    if not report.decided:
        return
    whose = "by keys of the approvers named" if report.named else "whose keys these are is not checked: no --approvers"
    yield f"signed decisions: {sum(count for _, _, count in report.decided)}, {whose}"
    for key, subject, count in report.decided[:_MOST_SIGNERS_TOLD]:
        yield f"  {count} as {subject} by {key}"
    if len(report.decided) > _MOST_SIGNERS_TOLD:
        yield f"  and {len(report.decided) - _MOST_SIGNERS_TOLD} signers more"


def _when(time: int) -> str:
    """Unix seconds for a person, whatever a witness claims."""
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{time} s after 1970, which no calendar has"


def _verifier_key(text: str, kind: int, what: str) -> VerifierKey:
    try:
        key = VerifierKey.parse(text)
    except NoteError as error:
        raise EvidenceError(str(error)) from None
    if key.kind != kind:
        raise EvidenceError(f"this is not {what}: it is of another type")
    return key
