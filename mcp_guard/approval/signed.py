"""Decisions signed by the approver's own key, which the guard does not have: so it cannot make one up."""

import os
from base64 import b64decode, b64encode
from collections.abc import Collection
from dataclasses import dataclass

from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.approval.store import Verdict, Vote
from mcp_guard.kit.curves import CURVES
from mcp_guard.model.signed_decision import NAMESPACE, SALT_BYTES, SignedDecision, digest_of_shown
from mcp_guard.model.sshsig import SshKey, SshsigError, SshSignature, armored


@dataclass(frozen=True, slots=True)
class ToSign:
    """A decision before it is signed: what about, which way, and the salt of what was shown (hex)."""

    request: ApprovalRequest
    verdict: Verdict
    log: str
    salt: str

    @classmethod
    def about(cls, request: ApprovalRequest, verdict: Verdict, log: str) -> "ToSign":
        return cls(request, verdict, log, os.urandom(SALT_BYTES).hex())

    @property
    def message(self) -> bytes:
        return decision_of(self.request, self.verdict, self.salt, self.log).message()


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature (base64 of its bytes, without armour) and the salt it was made with (hex)."""

    signature: str
    salt: str


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A signed decision as `ssh-keygen -Y verify` takes it."""

    subject: str
    message: bytes
    armored: str

    @classmethod
    def of(cls, request: ApprovalRequest, vote: Vote, log: str) -> "Exhibit":
        message = decision_of(request, vote.verdict, vote.salt, log).message()
        return cls(vote.subject, message, armored(b64decode(vote.signature)))


def read_signature(to_sign: ToSign, armored: str) -> tuple[SshKey, Signed]:
    """Who signed, as far as the signature itself says, and what is kept of it. Raises `SshsigError`."""
    signature, blob = SshSignature.parse_armored(armored)
    return signature.key, Signed(b64encode(blob).decode(), to_sign.salt)


def decision_of(request: ApprovalRequest, verdict: str, salt: str, log: str) -> SignedDecision:
    """What a signature has to be about. Raises `ValueError` for a salt that is none."""
    return SignedDecision(
        log, request.id, verdict, request.binds, digest_of_shown(bytes.fromhex(salt), request.summary)
    )


def check_signed(request: ApprovalRequest, vote: Vote, log: str, keys: Collection[SshKey]) -> SshKey:
    """The key, among those that are whoever voted's, that signed exactly this vote. Raises `SshsigError`."""
    try:
        signature = SshSignature.parse(b64decode(vote.signature, validate=True))
        message = decision_of(request, vote.verdict, vote.salt, log).message()
    except SshsigError:
        raise
    except ValueError:
        raise SshsigError("the decision is not signed") from None
    if signature.key not in keys:
        raise SshsigError("the key is not one of those declared for whoever decided")
    signature.check(message, NAMESPACE, CURVES)
    return signature.key


def as_record(request: ApprovalRequest, vote: Vote, log: str, key: SshKey) -> dict[str, object]:
    """The field `signed` of the record: all that checking the signature takes, and no value of the call."""
    shown = decision_of(request, vote.verdict, vote.salt, log).shown
    return {"key": key.fingerprint, "log": log, "shown": shown, "sshsig": vote.signature}
