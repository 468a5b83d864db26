"""Signed decisions on record: both verifiers find every one that is none, from the log alone."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.audit.evidence import EvidenceError, approver_keys
from mcp_guard.audit.examine import Report
from mcp_guard.audit.verify import Evidence, verify
from mcp_guard.kit import strict_json
from mcp_guard.model.chain import genesis, leaf_hash
from mcp_guard.model.signed_decision import SignedDecision, digest_of_shown
from mcp_guard.model.sshsig import SK_ECDSA_KEY, SK_ED25519_KEY, SshKey
from tests.audit import standalone
from tests.simulators.ssh_key import KINDS, SshKeyPair

LOG = "support-desk/0123456789abcdef0123456789abcdef"
BOB = SshKeyPair()
STRANGER = SshKeyPair()
Record = dict[str, Any]


def decision(pair: SshKeyPair, *, verdict: str = "approved", approval: str = "a" * 32, **spoiled: Any) -> Record:
    """The record of a decision that `pair` signed as user:bob."""
    shown = digest_of_shown(bytes(32), ["payments_refund", "amount: 700"])
    message = SignedDecision(LOG, approval, verdict, "b" * 64, shown).message()
    signed = {
        "key": SshKey.parse(pair.wire).fingerprint,
        "log": LOG,
        "shown": shown,
        "sshsig": b64encode(pair.signature(message, **spoiled)).decode(),
    }
    actor = {"sub": "user:bob", "via": "agent:local", "tenant": "acme", "auth": "signature", "assurance": "signed"}
    return {
        "v": 1, "kind": "approval", "boot": "0123456789abcdef", "actor": actor, "call": "c", "approval": approval,
        "verdict": verdict, "binds": "b" * 64, "channel": "cli", "ms": 1, "signed": signed,
    }  # fmt: skip


def chained(*records: Record, log: str = LOG) -> list[bytes]:
    """The lines of a log of these records."""
    link, lines = genesis(log), []
    for n, record in enumerate(records):
        lines.append(strict_json.dumps({"_n": n, "_p": link, "_t": 1_800_000_000_000_000 + n, **record}))
        link = leaf_hash(lines[-1])
    return lines


def judge(lines: list[bytes], directory: Path, *, origin: str | None = None, approvers: str | None = None) -> Report:
    """The verdict of the program; that of the stand-alone verifier has to be the same."""
    file = directory / "log.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    named = directory / "allowed_signers"
    if approvers is not None:
        named.write_text(approvers, encoding="utf-8")
    keys = approver_keys(str(named)) if approvers is not None else None
    reports = [
        verify(file, deep=True, evidence=Evidence(origin=origin, approvers=keys), workers=workers) for workers in (1, 2)
    ]
    assert reports[0] == reports[1]
    if origin is None:
        more = [] if approvers is None else ["--approvers", str(named)]
        _, document = standalone.run(file, "--deep", *more)
        assert document == reports[0].as_dict()
    return reports[0]


def _boot() -> Record:
    return {"v": 1, "kind": "boot", "boot": "0123456789abcdef", "state": {"what": "started"}}


@pytest.mark.holds("signed:record")
@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_is_checked_from_the_record_alone(kind: str, tmp_path: Path) -> None:
    pair = SshKeyPair(kind)
    lines = chained(_boot(), decision(pair), decision(pair, verdict="denied", approval="c" * 32))
    report = judge(lines, tmp_path)
    assert report.ok, report.error
    assert report.decided == ((SshKey.parse(pair.wire).fingerprint, "user:bob", 2),)
    assert report.as_dict()["decisions"] == {
        "signed": 2,
        "held": False,
        "by": [{"key": SshKey.parse(pair.wire).fingerprint, "sub": "user:bob", "count": 2}],
    }
    assert "decisions" not in judge(chained(_boot()), tmp_path).as_dict()


def _changed(change: Callable[[Record], object]) -> Record:
    record = decision(BOB)
    change(record)
    return record


def _without_signature(record: Record) -> None:
    del record["signed"]


def _resigned(record: Record) -> None:
    record["signed"]["sshsig"] = decision(STRANGER)["signed"]["sshsig"]


def _bit(record: Record) -> None:
    blob = bytearray(b64decode(record["signed"]["sshsig"]))
    blob[-1] ^= 1
    record["signed"]["sshsig"] = b64encode(blob).decode()


WRONG: dict[str, tuple[Record, str]] = {
    "no signature": (_changed(_without_signature), "carries no signature"),
    "an empty one": (_changed(lambda it: it.update(signed={})), "does not hold"),
    "no object": (_changed(lambda it: it.update(signed="yes")), "carries no signature"),
    "a changed one": (_changed(_bit), "does not hold: the key did not sign this"),
    "somebody else's": (_changed(_resigned), "names another key"),
    "another approval": (_changed(lambda it: it.update(approval="c" * 32)), "did not sign"),
    "another verdict": (_changed(lambda it: it.update(verdict="denied")), "did not sign"),
    "another binding": (_changed(lambda it: it.update(binds="c" * 64)), "did not sign"),
    "something else shown": (_changed(lambda it: it["signed"].update(shown="c" * 64)), "did not sign"),
    "another log": (_changed(lambda it: it["signed"].update(log="support-desk/other")), "did not sign"),
    "a part that is no text": (_changed(lambda it: it["signed"].update(shown=1)), "lacks a part"),
    "a line in a part": (_changed(lambda it: it.update(approval="a\nverdict: denied")), "is not one line"),
    "another purpose": (decision(BOB, namespace=b"file"), "another purpose"),
    "a weaker hash": (decision(BOB, hashed=b"sha256"), "not over a sha512"),
    "not touched": (decision(SshKeyPair(SK_ED25519_KEY), flags=0), "was not touched"),
    "not touched either": (decision(SshKeyPair(SK_ECDSA_KEY), flags=4), "was not touched"),
    "signed, and not said to be": (_changed(lambda it: it["actor"].update(assurance="token")), "carries no signature"),
    "an act that says it was signed": (
        {
            **_boot(), "kind": "read", "state": {"what": "status"},
            "actor": {"sub": "user:bob", "assurance": "signed"},
        },
        "carries no signature",
    ),
}  # fmt: skip


@pytest.mark.holds("signed:record")
@pytest.mark.parametrize("case", WRONG)
def test_a_record_that_says_it_is_signed_and_is_not(case: str, tmp_path: Path) -> None:
    record, why = WRONG[case]
    report = judge(chained(_boot(), decision(BOB), record, _boot()), tmp_path)
    assert report.error is not None
    assert (report.ok, report.records, report.error.n) == (False, 2, 2)
    assert why in report.error.what


@pytest.mark.holds("signed:record")
def test_a_decision_of_another_log_is_none_here(tmp_path: Path) -> None:
    """Whole and well signed, in a log it was not made for."""
    other = "support-desk/ffffffffffffffffffffffffffffffff"
    for origin in (None, other):
        report = judge(chained(_boot(), decision(BOB), log=other), tmp_path, origin=origin)
        assert report.error is not None
        assert (report.error.n, report.error.what) == (1, "its decision was signed for another log")
    assert judge(chained(_boot(), decision(BOB)), tmp_path, origin=LOG).ok


@pytest.mark.holds("signed:record")
def test_whose_keys_they_are_is_for_others_to_say(tmp_path: Path) -> None:
    lines = chained(_boot(), decision(BOB))
    named = f"# people\n\nuser:bob,user:~pseudonym {BOB.line}\nuser:dana {STRANGER.line}\n"
    report = judge(lines, tmp_path, approvers=named)
    assert report.ok
    assert report.named
    forged = chained(_boot(), decision(BOB), decision(STRANGER))
    assert judge(forged, tmp_path).ok, "a key that was made up signs as well as any"
    for approvers in (named, f"user:bob {BOB.line}\n", ""):
        report = judge(forged, tmp_path, approvers=approvers)
        assert report.error is not None
        assert report.error.n == (1 if not approvers else 2)
        assert "not named as a key of whom it names" in report.error.what
    spelt = named.replace("user:bob", "user:Bob")
    assert not judge(lines, tmp_path, approvers=spelt).ok


@pytest.mark.holds("signed:record")
def test_a_file_of_approvers_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "allowed_signers"
    lines = {
        f"* {BOB.line}": "without patterns",
        f"!user:bob {BOB.line}": "without patterns",
        f'user:bob namespaces="x" {BOB.line}': "line 1",
        f"user:bob cert-authority {BOB.line}": "line 1",
        "user:bob": "line 1",
        "user:bob ssh-rsa AAAA": "line 1",
    }
    for line, why in lines.items():
        file.write_text(line + "\n", encoding="utf-8")
        with pytest.raises(EvidenceError, match=why):
            approver_keys(str(file))
        status, said = standalone.run(file, "--approvers", file)
        assert (status, why in said["message"]) == (2, True)
    file.write_bytes(b"\xff\n")
    with pytest.raises(EvidenceError, match="not text"):
        approver_keys(str(file))
    with pytest.raises(EvidenceError, match="cannot be read"):
        approver_keys(str(tmp_path))


@pytest.mark.holds("signed:record")
def test_many_signers_are_counted_in_constant_memory(tmp_path: Path) -> None:
    from mcp_guard.audit.decision_check import MOST_SIGNERS, SignedTally

    tally = SignedTally()
    for n in range(MOST_SIGNERS + 5):
        tally.join(SignedTally({(f"SHA256:{n}", "user:bob"): 2}))
    assert len(tally.by) == MOST_SIGNERS + 1
    assert sum(tally.by.values()) == 2 * (MOST_SIGNERS + 5)
