"""Logs and evidence made to bring a verifier down: both programs give a verdict, and the same one."""

from pathlib import Path

import orjson
import pytest

from mcp_guard.audit.evidence import describe
from mcp_guard.audit.record_form import NOT_CANONICAL
from mcp_guard.audit.statements import Statement, Trust
from mcp_guard.audit.verify import Evidence, Fresh, Report, verify, verify_signature
from mcp_guard.model.chain import Tail
from mcp_guard.model.note import COSIGNATURE, VerifierKey
from tests.audit import standalone
from tests.audit.signing import Signer, checkpoint

ORIGIN = "test/00"
KEY, WITNESS = Signer(ORIGIN, 1), Signer("witness.example/1", 2, COSIGNATURE)
LAST = (1 << 63) - 1
TRUST = Trust(verify_signature, (KEY.key,), (WITNESS.key,))


def body(kind: str, state: bytes) -> bytes:
    return b'{"boot":"0123456789abcdef","kind":"%s","state":%s,"v":1}' % (kind.encode(), state)


def sealed(*bodies: bytes) -> list[bytes]:
    """A log of these bodies with a chain that holds: what whoever has the file can always make."""
    tail, found = Tail.start(ORIGIN), list[bytes]()
    for n, each in enumerate(bodies):
        line, tail = tail.seal(each, 1_800_000_000_000_000 + n)
        found.append(line)
    return found


def both(tmp_path: Path, log: list[bytes], *more: str) -> Report:
    """The verdict of the program, after that of the file was found to be the same."""
    export = tmp_path / "log.jsonl"
    export.write_bytes(b"".join(line + b"\n" for line in log))
    report = verify(export, deep="--deep" in more, evidence=Evidence(trust=TRUST))
    status, told = standalone.run(export, "--key", str(KEY.key), "--witness", str(WITNESS.key), *more)
    assert (status, told) == (0 if report.ok else 8, report.as_dict())
    return report


def half_a_key() -> bytes:
    """A vkey whose name is half of a surrogate pair: JSON can spell it, and nothing can hash it."""
    return orjson.dumps(str(KEY.key).partition("+")[2])[1:-1]


@pytest.mark.holds("audit:hostile-log")
@pytest.mark.parametrize(
    ("bodies", "named"),
    [
        ([body("key", rb'{"vkey":"\ud800+' + half_a_key() + rb'","what":"first"}')], 0),
        (
            [
                body("key", orjson.dumps({"vkey": str(KEY.key), "what": "first"})),
                body("key", orjson.dumps({"vkey": str(Signer(ORIGIN, 3).key), "what": "next"})),
                body(
                    "key",
                    rb'{"checkpoint":"\udfff","key":"%s","what":"changed"}'
                    % Signer(ORIGIN, 3).key.key_id.hex().encode(),
                ),
            ],
            2,
        ),
        ([body("anchor", rb'{"checkpoint":"\ud800"}')], None),
    ],
)
def test_half_a_surrogate_pair_in_what_a_log_says_of_itself_is_judged(
    tmp_path: Path, bodies: list[bytes], named: int | None
) -> None:
    report = both(tmp_path, sealed(*bodies))
    assert (report.error.n if report.error else None) == named
    assert report.error is None or "not UTF-8" in report.error.what


@pytest.mark.holds("audit:hostile-log")
def test_a_line_of_escapes_is_judged_at_once(tmp_path: Path) -> None:
    """It links as it should, so its form is looked at; the text in it never ends."""
    state = b"{" * 60 + b'"[[[[[["x"' + rb"\"" * 500_000
    report = both(tmp_path, sealed(body("fault", state)), "--deep")
    assert report.error is not None
    assert report.error.what == NOT_CANONICAL


@pytest.mark.holds("audit:hostile-log")
@pytest.mark.parametrize("time", [LAST, 1 << 62, 253_402_300_800])
def test_a_witness_that_names_a_time_beyond_every_calendar_is_quoted(time: int) -> None:
    log = sealed(body("fault", b"{}"))
    note = WITNESS.sign(checkpoint(log, ORIGIN, KEY), time)
    report = verify(log, evidence=Evidence(statements=(Statement.parse(note.format()),), trust=TRUST))
    assert report.ok
    keys: tuple[VerifierKey, ...] = (KEY.key,)
    assert f"at {time} s after 1970" in "\n".join(describe(report, keys))


@pytest.mark.holds("audit:anchor-from-the-future")
def test_a_confirmation_from_the_future_is_not_young(tmp_path: Path) -> None:
    log = sealed(body("fault", b"{}"))
    note = WITNESS.sign(checkpoint(log, ORIGIN, KEY), LAST)
    (tmp_path / "checkpoint").write_bytes(note.format())
    (tmp_path / "log.jsonl").write_bytes(log[0] + b"\n")
    fresh = Fresh(3600, 1_800_000_000)
    report = verify(log, evidence=Evidence(statements=(Statement.parse(note.format()),), trust=TRUST, fresh=fresh))
    assert report.error is not None
    assert "in the future" in report.error.what
    shown = ("--checkpoint", tmp_path / "checkpoint", "--witness", str(WITNESS.key), "--require-anchor-age", "1h")
    status, told = standalone.run(tmp_path / "log.jsonl", "--key", str(KEY.key), *shown)
    assert (status, told["error"]["what"]) == (8, report.error.what)
