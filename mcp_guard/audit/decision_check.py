"""Signed decisions on record: each is held against its own signature, and against whose key it should be.

That it was signed by some key is what a record can show. Whose key that is, only somebody else can say: without that,
whoever wrote the log could have made the key.

Standard library and pure modules only: these lines are also part of the stand-alone verifier.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mcp_guard.audit.chain_check import Broken
from mcp_guard.model.chain import genesis
from mcp_guard.model.note import NoteError, decode_base64
from mcp_guard.model.signed_decision import NAMESPACE, SignedDecision
from mcp_guard.model.sshsig import CurveChecks, SshsigError, SshSignature

Approvers = Mapping[bytes, Collection[str]]
"""The subjects that a key (as in signatures) is named for."""

MOST_SIGNERS = 1000
"""So many different signers are told apart; a log of more of them is not one of people."""
_OTHERS = ("others", "others")
_UNSIGNED = "its decision is said to be signed, and carries no signature"
_ELSEWHERE = "its decision was signed for another log"


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """What signed decisions are held against: `log`, where it is known which this is, and `approvers`, where they are
    named; `curves` checks the signatures."""

    curves: CurveChecks
    log: str | None = None
    approvers: Approvers | None = None


@dataclass(slots=True)
class SignedTally:
    """The signed decisions of a stretch of a log: how many by which key (its fingerprint) as whom, and for which log
    they were signed, with the number of the first. `link` is what record 0 links to, where it is among them."""

    by: dict[tuple[str, str], int] = field(default_factory=dict)
    log: tuple[str, int] | None = None
    link: str = ""

    def feed(self, n: int, record: Mapping[str, object], rules: DecisionRules) -> str | None:
        """What is wrong with the decision in record `n`, if it is one and says that it is signed."""
        if n == 0:
            self.link = str(record.get("_p"))
        actor = record.get("actor")
        claims = isinstance(actor, Mapping) and actor.get("assurance") == "signed"
        if not claims and "signed" not in record:
            return None
        signed = record.get("signed")
        if not claims or not isinstance(signed, Mapping) or record.get("kind") != "approval":
            return _UNSIGNED
        assert isinstance(actor, Mapping)
        try:
            key, what = _check_record(record, signed, str(actor.get("sub")), rules)
        except (SshsigError, NoteError, ValueError) as error:
            return f"the signature of its decision does not hold: {error}"
        log = str(signed.get("log"))
        if (self.log or (log, n))[0] != log:
            what = _ELSEWHERE
        self.log = self.log or (log, n)
        self._count((key, str(actor.get("sub"))), 1)
        return what

    def join(self, other: "SignedTally") -> Broken | None:
        """Put what is known of a later stretch behind; what is wrong with both together."""
        self.link = self.link or other.link
        for who, count in other.by.items():
            self._count(who, count)
        if self.log and other.log and self.log[0] != other.log[0]:
            return Broken(other.log[1], _ELSEWHERE)
        self.log = self.log or other.log
        return None

    def check_log(self) -> Broken | None:
        """Whether they were signed for the log that begins as this one does."""
        if not self.log or not self.link or genesis(self.log[0]) == self.link:
            return None
        return Broken(self.log[1], _ELSEWHERE)

    def _count(self, who: tuple[str, str], count: int) -> None:
        who = who if who in self.by or len(self.by) < MOST_SIGNERS else _OTHERS
        self.by[who] = self.by.get(who, 0) + count


def _check_record(
    record: Mapping[str, object], signed: Mapping[str, object], subject: str, rules: DecisionRules
) -> tuple[str, str | None]:
    """Who signed (a fingerprint), and what is wrong. Raises `SshsigError`, `NoteError`, `ValueError`."""
    signature = SshSignature.parse(decode_base64(str(signed.get("sshsig"))))
    signature.check(SignedDecision.of_record(record).message(), NAMESPACE, rules.curves)
    key = signature.key
    if key.fingerprint != signed.get("key"):
        return key.fingerprint, "its decision names another key than the one that signed it"
    if rules.log is not None and signed.get("log") != rules.log:
        return key.fingerprint, _ELSEWHERE
    if rules.approvers is not None and subject not in rules.approvers.get(key.wire, ()):
        return key.fingerprint, "its decision is signed by a key that was not named as a key of whom it names"
    return key.fingerprint, None
