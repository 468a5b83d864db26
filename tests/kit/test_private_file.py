"""A file is replaced whole or not at all, and nothing half written is left."""

import os
from pathlib import Path

import pytest

from mcp_guard.kit import private_file

pytestmark = pytest.mark.holds("kit:replaced-whole")


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    private_file.replace(target, b"old")
    with private_file.replacing(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [OSError("full"), ValueError("what is written cannot be read"), KeyboardInterrupt()])
def test_whatever_goes_wrong_the_old_file_stays_and_nothing_else(error: BaseException, tmp_path: Path) -> None:
    target = tmp_path / "file"
    private_file.replace(target, b"old")

    def write_half() -> None:
        with private_file.replacing(target) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_it_is_private_unless_said_otherwise(tmp_path: Path) -> None:
    private_file.replace(tmp_path / "key", b"secret")
    with private_file.replacing(tmp_path / "copy", 0o644) as file:
        file.write(b"public")
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("key", "copy")]
    assert modes[0] == 0o600
    assert modes[1] & 0o600 == 0o600
    assert modes[1] | 0o644 == 0o644


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere, target = tmp_path / "elsewhere", tmp_path / "file"
    elsewhere.write_bytes(b"theirs")
    target.symlink_to(elsewhere)
    private_file.replace(target, b"ours")
    assert elsewhere.read_bytes() == b"theirs"
    assert not target.is_symlink()
