"""The system's keyring, by the library that knows them all, with a keyring of its own in a file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_guard.secrets.programs import NoValue, Source, run


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    backend = {"PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring", "XDG_DATA_HOME": str(tmp_path)}
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **backend}


@pytest.mark.holds("secrets:programs")
def test_a_secret_comes_from_the_keyring(environ: dict[str, str]) -> None:
    argv = [sys.executable, "-m", "keyring", "set", "mcp-guard", "payments"]
    subprocess.run(argv, input="from-the-keyring\n", env=environ, text=True, check=True, capture_output=True)
    assert run(Source.keyring("mcp-guard", "payments"), environ) == "from-the-keyring"


def test_an_entry_that_is_not_there(environ: dict[str, str]) -> None:
    with pytest.raises(NoValue, match="status 1"):
        run(Source.keyring("mcp-guard", "nobody"), environ)


def test_a_name_is_no_option(environ: dict[str, str]) -> None:
    with pytest.raises(NoValue, match="status 1"):
        run(Source.keyring("--list-backends", "--help"), environ)
