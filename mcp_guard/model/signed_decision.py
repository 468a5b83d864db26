"""What an approver signs: a few lines that name one decision and no other.

The lines hold no value of a call, so they can be rebuilt from the audit record alone, for ever. What the approver was
shown stands in them as a digest with a salt that is kept beside the record's row: whoever is given both can check it,
and nobody can try guesses.

Standard library only: these lines are also part of the stand-alone verifier.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

NAMESPACE: Final = "approval.v1@mcp-guard"
"""What signatures of decisions are for (PROTOCOL.sshsig, "namespace"): one made for anything else is none."""
SALT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SignedDecision:
    """One verdict about one approval of one log. `shown` is `digest_of_shown` (hex)."""

    log: str
    approval: str
    verdict: str
    binds: str
    shown: str

    def message(self) -> bytes:
        """The signed bytes. Raises `ValueError` where a part could be taken for a line of its own."""
        parts = {
            "log": self.log,
            "approval": self.approval,
            "verdict": self.verdict,
            "binds": self.binds,
            "shown": self.shown,
        }
        if not all(part.isprintable() for part in parts.values()):
            raise ValueError("a part of a signed decision is not one line")
        lines = ["mcp-guard approval v1", *(f"{name}: {part}" for name, part in parts.items())]
        return "".join(f"{line}\n" for line in lines).encode()

    @classmethod
    def of_record(cls, record: Mapping[str, object]) -> "SignedDecision":
        """The decision that an approval record says was signed. Raises `ValueError` where it does not say."""
        signed = record.get("signed")
        said = signed if isinstance(signed, Mapping) else {}
        found = [said.get("log"), *(record.get(name) for name in ("approval", "verdict", "binds")), said.get("shown")]
        texts = [part for part in found if isinstance(part, str)]
        if len(texts) != len(found):
            raise ValueError("a signed decision lacks a part")
        return cls(*texts)


def digest_of_shown(salt: bytes, lines: Sequence[str]) -> str:
    """HMAC-SHA256 (hex) under the salt, over the lines as compact JSON."""
    text = json.dumps(list(lines), ensure_ascii=False, separators=(",", ":"))
    return hmac.digest(salt, text.encode(), "sha256").hex()
