"""A home whose large refunds take signed decisions, and people with keys to sign them."""

from pathlib import Path

from mcp_guard.approval.signed import ToSign
from mcp_guard.build import Guard
from mcp_guard.model.sshsig import SK_ED25519_KEY
from tests.simulators.ssh_key import SshKeyPair

BOB = SshKeyPair()
BOBS_TOKEN = SshKeyPair(SK_ED25519_KEY)
"""A security key."""
DANA = SshKeyPair()
STRANGER = SshKeyPair()


def declare_keys(home: Path, **people: tuple[SshKeyPair, ...]) -> None:
    """Declare these keys, and no others, for the users of these names."""
    path = home / "policy" / "principals.yaml"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("    keys:")]
    for name, pairs in people.items():
        keys = ", ".join(f'"{pair.line}"' for pair in pairs)
        at = lines.index(f'  "user:{name}":')
        lines.insert(at + 1, f"    keys: [{keys}]")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def ask_for(home: Path, assurance: str, *, rule: str = "refund-large", also: str = "") -> None:
    """Have a rule ask for an assurance; the tests of the example policy go, because they say what it asked before."""
    path = home / "policy" / "policy.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith(f"p, {rule},"))
    lines[at] = lines[at].replace("expires=4h", f"expires=4h; assurance={assurance}{also}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for case in (home / "policy" / "tests").glob("*.yaml"):
        case.unlink()


def signed_home(home: Path) -> Path:
    """Bob, who is in finance, signs with either of two keys; Dana is a manager and has one."""
    ask_for(home, "signed")
    declare_keys(home, bob=(BOB, BOBS_TOKEN), dana=(DANA,))
    return home


async def sign(guard: Guard, identifier: str, pair: SshKeyPair, verdict: str = "approved", **spoiled: object) -> ToSign:
    """Decide by a signature over exactly what is to be signed. Raises what `decide_signed` raises."""
    to_sign = await guard.approvals.to_sign(identifier, verdict)  # type: ignore[arg-type]  # a word of the contract
    await guard.approvals.decide_signed(to_sign, pair.armored(to_sign.message, **spoiled), None, None)
    return to_sign
