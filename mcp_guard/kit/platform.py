"""The differences between operating systems, in one place."""

import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio.subprocess
    import subprocess

_NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "afs", "glusterfs"}
)


def make_private_directory(path: Path) -> None:
    """Create a directory only its owner can enter. On Windows the permissions are those of the parent."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


def make_private_file(path: Path) -> None:
    """Create an empty file only its owner can read, if it is not there yet."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    os.close(descriptor)


def allocate(path: Path, size: int) -> None:
    """Make a file only its owner can read, with `size` bytes of disk really behind it. Raises `OSError`."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            os.ftruncate(descriptor, 0)
            while (left := size - os.lseek(descriptor, 0, os.SEEK_CUR)) > 0:
                os.write(descriptor, os.urandom(min(left, 1 << 20)))  # nothing a file system could store as nothing
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Windows cannot and need not be asked to."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_private(path: Path) -> bool:
    """Whether nobody but the owner can read or write the file. Always true on Windows, which has no such bits."""
    if os.name != "posix":
        return True
    return path.stat().st_mode & 0o077 == 0


def end_process_group(process: "subprocess.Popen[bytes] | asyncio.subprocess.Process") -> None:
    """Kill a process begun in a session of its own, with whatever it began. On Windows only the process itself."""
    with suppress(ProcessLookupError, PermissionError):  # macOS says the second of a group that ended
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def is_network_filesystem(path: Path) -> bool:
    """Whether a path lies on a network file system, where SQLite's WAL is not safe. Known on Linux only."""
    if sys.platform != "linux":
        return False
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    best, kind = "", ""
    target = str(path.resolve())
    for line in mounts.splitlines():
        fields = line.split(" ")
        mount = fields[1].replace("\\040", " ")
        if len(mount) >= len(best) and (target + "/").startswith(mount.rstrip("/") + "/"):
            best, kind = mount, fields[2]
    return kind in _NETWORK_FILESYSTEMS


def allow_open_files(wanted: int) -> None:
    """Let this process have so many files and connections open, as far as its hard limit goes."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < reachable:
            resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))


def account() -> str:
    """The account this process runs as: its name, or its number where it has none. The environment is not believed
    where the system knows better."""
    if os.name != "posix":
        import getpass

        return _plain(getpass.getuser())
    import pwd

    number = os.geteuid()
    try:
        return _plain(pwd.getpwuid(number).pw_name)
    except KeyError:
        return str(number)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@+-]", "_", name)
