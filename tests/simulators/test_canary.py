"""The canary sings: a watch that can never find anything would prove nothing."""

import base64
from pathlib import Path

import pytest

from tests.simulators.canary import holding


@pytest.mark.holds("secrets:canary")
def test_a_secret_is_found_in_whatever_form(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "clean").write_bytes(b"nothing")
    (tmp_path / "plain").write_bytes(b"..hush-hush/very..")
    (tmp_path / "below" / "basic").write_bytes(base64.b64encode(b"user:hush-hush/very"))
    assert holding(tmp_path, "hush-hush/very") == {tmp_path / "plain", tmp_path / "below" / "basic"}
