"""Programs of the machine: where they are looked for, and the sandbox around one (bubblewrap, Linux)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" + (
    ":/opt/homebrew/bin" if sys.platform == "darwin" else ""
)
"""Where a program is looked for; the environment is not asked."""

SUPPORTED = sys.platform != "win32"
"""Whether programs can be run: Windows has no process groups, limits and signals of this kind."""

COUNTS_PROCESSES = sys.platform.startswith("linux")
"""Whether a program can be held to a number of processes and an amount of memory."""

# What a program needs of /etc to find its libraries, its time zone and its own name; with the network, names and CAs.
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "passwd", "group", "nsswitch.conf", "localtime")
_ETC_NETWORK = (
    "resolv.conf",
    "hosts",
    "host.conf",
    "gai.conf",
    "services",
    "protocols",
    "ssl",
    "pki",
    "ca-certificates",
)
_PROBE_SECONDS = 10


def find_program(name: str) -> Path | None:
    """The absolute path of a program by its name, links and all, or `None`."""
    found = shutil.which(name, path=SEARCH_PATH)
    return Path(found) if found else None


@dataclass(frozen=True, slots=True)
class Bubble:
    """What a sandboxed program sees beside the system: `directories` under their own paths, and where it starts."""

    network: bool
    directories: Sequence[tuple[str, bool]]
    """Path, and whether it may be written."""
    start: str

    def around(self, program: str, *argv: str) -> tuple[str, ...]:
        """The arguments of bubblewrap, its own name first, that run a program and its arguments in it."""
        found = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        if self.network:
            found.append("--share-net")
        found += ["--ro-bind", "/usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            place = Path("/", name)
            if place.is_symlink():
                found += ["--symlink", os.readlink(place), str(place)]
            elif place.is_dir():
                found += ["--ro-bind", str(place), str(place)]
        for name in (*_ETC, *(_ETC_NETWORK if self.network else ())):
            found += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        found += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - a new one, inside
        for path, writes in self.directories:
            found += ["--bind" if writes else "--ro-bind", path, path]
        if not program.startswith(("/usr/", "/bin/", "/sbin/")):
            found += ["--ro-bind", program, program]
        return (*found, "--chdir", self.start, "--", program, *argv)


@cache
def bubblewrap() -> Path | None:
    """Bubblewrap, where it is installed and may do its work (kernels can forbid user namespaces)."""
    path = find_program("bwrap") if COUNTS_PROCESSES else None
    if path is None:
        return None
    bubble = Bubble(network=False, directories=(), start="/")
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [str(path), *bubble.around("/bin/true")[1:]],
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return path if done.returncode == 0 else None
