"""`mcp-guard approvals approve|deny ID --sign KEY`: with real keys and the real ssh-keygen."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.cli.signing import PROGRAM
from mcp_guard.demo.sandbox import Sandbox
from tests.signed import BOB, DANA, STRANGER, signed_home
from tests.simulators.process import Program
from tests.simulators.ssh_key import SshKeyPair

openssh = pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="ssh-keygen is missing: install the OpenSSH client")


@pytest.fixture
def home(desk: Program) -> Program:
    signed_home(desk.home)
    return desk


def _file(directory: Path, pair: SshKeyPair, passphrase: str = "") -> str:
    """A private key as a person has it, with its public half beside it."""
    path = directory / f"key_{abs(hash(pair.line))}"
    path.write_bytes(pair.private_file())
    path.chmod(0o600)
    path.with_suffix(".pub").write_text(pair.line + "\n", encoding="utf-8")
    if passphrase:
        change = [PROGRAM, "-q", "-p", "-f", str(path), "-N", passphrase]
        subprocess.run(change, check=True, capture_output=True)
    return str(path)


def _ask(desk: Program, amount: float) -> dict[str, Any]:
    done = desk.run("--json", "call", "payments_refund", "order_id=ORD-1001", f"amount={amount}")
    assert done.status == 6, done.err
    return dict(done.json["structuredContent"]["guard"])


@openssh
@pytest.mark.holds("signed:who", "signed:openssh")
def test_a_person_signs_what_they_are_shown(home: Program, tmp_path: Path, payments: Sandbox) -> None:
    before = len(payments.ledger.entries())
    pending = _ask(home, 700)
    signed = home.run(
        "--json", "-q", "approvals", "approve", pending["approval_id"][:12], "--sign", _file(tmp_path, BOB)
    )
    assert signed.status == 0, signed.err
    for line in ("amount: 700", "asked by user:alice", f"  approval: {pending['approval_id']}", "  verdict: approved"):
        assert line in signed.err, "what is signed is shown, also with -q"
    assert signed.json["state"] == "approved"
    (said,) = signed.json["decisions"]
    assert (said["subject"], said["assurance"], len(said["salt"])) == ("user:bob", "signed", 64)
    written = home.run("approvals", "signatures", pending["approval_id"], str(tmp_path / "proof"))
    (command,) = written.out.splitlines()
    (tmp_path / "allowed_signers").write_text(f"user:bob {BOB.line}\n", encoding="utf-8")
    verified = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr
    assert 'Good "approval.v1@mcp-guard" signature for user:bob' in verified.stdout
    resumed = home.run("--json", "tasks", "resume", pending["task_id"])
    assert resumed.json["status"] == "completed", resumed.out
    assert len(payments.ledger.entries()) == before + 1


@openssh
@pytest.mark.holds("signed:who")
def test_a_denial_is_signed_too(home: Program, tmp_path: Path) -> None:
    pending = _ask(home, 701)
    token = home.token("user:bob")
    refused = home.run("approvals", "deny", pending["approval_id"], "--token", token)
    assert refused.status == 5
    assert "--sign KEY" in refused.err
    denied = home.run(
        "--json", "approvals", "deny", pending["approval_id"], "--sign", _file(tmp_path, BOB), "--as", "user:bob"
    )
    assert denied.json["state"] == "denied", denied.err


@openssh
@pytest.mark.holds("signed:who")
def test_who_may_not_sign_is_told_so(home: Program, tmp_path: Path) -> None:
    pending = _ask(home, 702)
    keys = {pair: _file(tmp_path, pair) for pair in (BOB, DANA, STRANGER)}
    for pair, options in ((STRANGER, ()), (DANA, ()), (BOB, ("--as", "user:dana"))):
        refused = home.run("approvals", "approve", pending["approval_id"], "--sign", keys[pair], *options)
        assert refused.status == 5, refused.err
    both = home.run("approvals", "approve", pending["approval_id"], "--sign", keys[BOB], "--token", "mcpg_x")
    assert (both.status, "excludes" in both.err) == (2, True)
    more = ("--for", "1h", "--uses", "2")
    granted = home.run("approvals", "approve", pending["approval_id"], "--sign", keys[BOB], *more)
    assert (granted.status, "a grant is not signed" in granted.err) == (2, True)
    assert home.run("approvals", "approve", pending["approval_id"], "--sign", str(tmp_path / "none")).status == 2
    assert home.run("--json", "approvals", "list").json[0]["state"] == "pending"


@openssh
@pytest.mark.holds("signed:who")
def test_what_ssh_keygen_cannot_sign_is_said(home: Program, tmp_path: Path) -> None:
    pending = _ask(home, 703)
    (tmp_path / "text").write_text("no key", encoding="utf-8")
    locked = _file(tmp_path, BOB, passphrase="correct horse")
    nobody = {"SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force", "SSH_AUTH_SOCK": ""}
    for key in (str(tmp_path / "text"), locked):
        failed = home.run("approvals", "approve", pending["approval_id"], "--sign", key, environ=nobody)
        assert failed.status == 2, failed.err
        assert "ssh-keygen did not sign" in failed.err
        assert "Traceback" not in failed.err


@pytest.mark.holds("signed:who")
def test_without_ssh_keygen_it_says_what_is_missing(home: Program, tmp_path: Path) -> None:
    pending = _ask(home, 704)
    (tmp_path / "empty").mkdir()
    missing = home.run(
        "approvals", "approve", pending["approval_id"], "--sign", _file(tmp_path, BOB),
        environ={"PATH": str(tmp_path / "empty")},
    )  # fmt: skip
    assert missing.status == 2
    assert "install the OpenSSH client" in missing.err


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An agent that holds Bob's key, and the environment to reach it."""
    program, add = shutil.which("ssh-agent"), shutil.which("ssh-add")
    if program is None or add is None:
        pytest.skip("ssh-agent or ssh-add is missing: install the OpenSSH client")
    socket = tmp_path / "agent"
    process = subprocess.Popen([program, "-D", "-a", str(socket)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # it says where it listens, once it does
        environ = {"SSH_AUTH_SOCK": str(socket)}
        key = _file(tmp_path, BOB)
        subprocess.run([add, key], check=True, capture_output=True, env={**os.environ, **environ})
        os.unlink(key)
        yield environ | {"KEY": f"{key}.pub"}
    finally:
        process.terminate()
        process.communicate(timeout=60)


@openssh
@pytest.mark.holds("signed:openssh")
def test_a_key_an_agent_holds_signs_by_its_public_half(home: Program, agent: dict[str, str]) -> None:
    pending = _ask(home, 705)
    signed = home.run("--json", "approvals", "approve", pending["approval_id"], "--sign", agent["KEY"], environ=agent)
    assert signed.json["state"] == "approved", signed.err
