"""Acknowledgements that stand in the log itself: worth what the signature of a trusted witness is worth."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from mcp_guard.audit import line_file
from mcp_guard.audit.statements import Trust
from mcp_guard.audit.verify import Evidence, Report, verify, verify_signature
from mcp_guard.model.note import COSIGNATURE, Note
from tests.audit import standalone
from tests.audit.signing import Signer, checkpoint
from tests.audit.test_key_epochs import ORIGIN, Log

LOG_KEY = Signer(ORIGIN, 1)
WITNESS, OTHER, STRANGER = (Signer(f"witness.example/{seed}", seed, COSIGNATURE) for seed in (5, 6, 7))
NOW = 1_800_000_000


def anchored(*notes: tuple[int, Note | None]) -> list[bytes]:
    """A log of 40 records; an `anchor` record at each place given, with the note or one of all before it."""
    log, wanted = Log(), dict(notes)
    for n in range(40):
        if n in wanted:
            note = wanted[n] or WITNESS.sign(checkpoint(log.lines, ORIGIN, LOG_KEY, n - 3), NOW + n)
            log.add("anchor", checkpoint=note.format().decode())
        else:
            log.add(x="y" * n)
    return log.lines


def check(log: Sequence[bytes], tmp_path: Path, *witnesses: Signer) -> Report:
    """The verdict on an export, which has no other evidence; the same by the stand-alone file."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in log))
    trust = Trust(verify_signature, (LOG_KEY.key,), tuple(witness.key for witness in witnesses))
    report = verify(path, evidence=Evidence(trust=trust))
    options = [option for witness in witnesses for option in ("--witness", str(witness.key))]
    assert standalone.run(path, "--key", str(LOG_KEY.key), *options)[1] == report.as_dict()
    return report


@pytest.fixture(params=[300, 10**6], autouse=True)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root of an earlier piece is found again, wherever pieces end."""
    monkeypatch.setattr(line_file, "PIECE", request.param)
    monkeypatch.setattr(standalone.module(), "PIECE", request.param)


@pytest.mark.holds("audit:recorded-anchors")
def test_the_last_acknowledgement_of_a_trusted_witness_counts(tmp_path: Path) -> None:
    report = check(anchored((9, None), (20, None), (33, None)), tmp_path, WITNESS, OTHER)
    assert report.ok, report.error
    assert (report.anchored, report.signed) == (30, 0)
    assert report.newest is not None
    assert (report.newest.by, report.newest.time) == (WITNESS.name, NOW + 33)


@pytest.mark.holds("audit:recorded-anchors")
def test_nobody_elses_counts(tmp_path: Path) -> None:
    log = anchored((9, None))
    assert check(log, tmp_path).anchored == "never"
    assert check(log, tmp_path, OTHER).anchored == "never"


@pytest.mark.holds("audit:recorded-anchors")
def test_what_a_witness_signed_and_the_log_does_not_contain_is_named(tmp_path: Path) -> None:
    elsewhere = Log().fill(20)
    fork = WITNESS.sign(checkpoint(elsewhere.lines, ORIGIN, LOG_KEY), NOW)
    report = check(anchored((9, None), (25, fork)), tmp_path, WITNESS)
    assert report.error is not None
    assert "signed at size 20" in report.error.what
    assert check(anchored((9, None), (25, fork)), tmp_path, OTHER).ok, "who trusts nobody learns nothing"


@pytest.mark.holds("audit:recorded-anchors")
def test_an_acknowledgement_forged_under_the_name_of_a_witness_is_named(tmp_path: Path) -> None:
    honest = WITNESS.sign(checkpoint(anchored()[:20], ORIGIN, LOG_KEY), NOW)
    (log_signature, cosignature) = honest.signatures
    forged = Note(honest.text, (log_signature, type(cosignature)(WITNESS.name, cosignature.key_id, bytes(72))))
    report = check(anchored((25, forged)), tmp_path, WITNESS)
    assert report.error is not None
    assert "is wrong" in report.error.what


@pytest.mark.holds("audit:recorded-anchors")
def test_an_acknowledgement_of_a_size_still_to_come_is_named(tmp_path: Path) -> None:
    more = Log(anchored(), Log().tail).fill(30)
    report = check(anchored((25, WITNESS.sign(checkpoint(more.lines, ORIGIN, LOG_KEY), NOW))), tmp_path, WITNESS)
    assert report.error is not None
    assert (report.error.n, "cut off" in report.error.what) == (40, True)


@pytest.mark.holds("audit:recorded-anchors")
@pytest.mark.parametrize("text", ["", "nonsense", "\n\n", "x" * 2_000_000])
def test_an_anchor_that_is_no_note_vouches_for_nothing(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if len(text) > 10**6:  # thousands of pieces of one line say nothing more than two
        for module in (line_file, standalone.module()):
            monkeypatch.setattr(module, "PIECE", 10**6)
    log = Log().fill(5)
    log.add("anchor", checkpoint=text)
    report = check(log.lines, tmp_path, WITNESS)
    assert report.ok, report.error
    assert report.anchored == "never"
