"""Having a person's own SSH key sign something: `ssh-keygen` does, with its agents, passphrases and security keys."""

import shutil
import subprocess

from mcp_guard.model.errors import UsageError

PROGRAM = "ssh-keygen"
_KEY_HINT = "KEY is a private key, or the .pub file of one that an agent or a security key holds; OpenSSH 8.2 or newer"


def sign(key: str, message: bytes, namespace: str) -> str:
    """The armoured signature of `message` (OpenSSH PROTOCOL.sshsig).

    What `ssh-keygen` asks (a passphrase, a touch) and complains of goes to the terminal. Raises `UsageError`.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise UsageError(f"There is no {PROGRAM} here to sign with.", hint="install the OpenSSH client")
    command = [program, "-Y", "sign", "-f", key, "-n", namespace]
    try:
        done = subprocess.run(command, input=message, stdout=subprocess.PIPE, check=False)  # noqa: S603 - no shell
    except OSError as error:
        raise UsageError(f"{PROGRAM} cannot be run: {error.strerror}", hint=_KEY_HINT) from None
    if done.returncode != 0:
        raise UsageError(f"{PROGRAM} did not sign (exit {done.returncode}); it says why above.", hint=_KEY_HINT)
    return done.stdout.decode("ascii", "replace")
