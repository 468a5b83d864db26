"""Runs one program and sees everything it started to its end. A script of its own, started with an empty environment.

It stands between the server and a program because of what only a process of its own can do:

    limits            are set after a fork in a process without threads, so nothing of the server is ever limited
    the server dies   the control pipe (stdin) ends, also at SIGKILL, and everything below this process is ended
    a program hides   a descendant that leaves its group or its parent falls to this process, which is the reaper of
                      its descendants (Linux: PR_SET_CHILD_SUBREAPER, prctl(2)), and is ended all the same

The order comes in on the control pipe (`mcp_guard.connect.process`). How it went is one line on the descriptor named
by the first argument: `exit N`, `signal N`, `refused ERRNO STAGE`, `processes`, or `stopped`. Only the standard
library's small modules are imported: this starts anew for every call.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

if sys.platform != "win32":
    import resource

LINUX = sys.platform.startswith("linux")
TICK = 0.05
"""Seconds between two counts of processes."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_CONTROL = 0
_STATUS: dict[int, int] = {}
"""How a child ended that had to be taken leave of to see that it did."""


class Order:
    """What to run: fields separated by NUL, which no argument and no variable can hold."""

    def __init__(self, data: bytes) -> None:
        fields = data.split(b"\0")
        numbers = [int(field) for field in fields[:9]]
        self.cpu, self.memory, self.file_size, self.open_files, self.processes = numbers[:5]
        self.grace = numbers[5] / 1000
        self.keeps_privileges = bool(numbers[6])
        arguments, variables = numbers[7:9]
        self.directory, self.path = fields[9:11]
        rest = fields[11:]
        self.argv = rest[:arguments]
        self.env = dict(pair.split(b"=", 1) for pair in rest[arguments : arguments + variables])


def main() -> None:
    status = int(sys.argv[1])
    os.set_inheritable(status, False)
    order = Order(_read(int(_read(12))))
    given = _read(int(_read(12)))
    # What is handed over must not be held here: the server reads until nobody holds it.
    if LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    child, told = _start(order, given)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    refusal = os.read(told, 64)  # ends with the program's beginning
    word = b"refused " + refusal if refusal else _watch(child, order, woken)
    how = _end_all(child)
    os.write(status, how if word == b"exit" else word)


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = os.read(_CONTROL, min(size - len(data), 1 << 20))
        if not part:
            os._exit(1)  # the server is gone before anything began
        data += part
    return data


def _start(order: Order, given: bytes) -> tuple[int, int]:
    """The program's process, and where it tells why it could not become the program."""
    told, tell = os.pipe()
    here = os.getpid()
    child = os.fork()
    if child == 0:
        stage = b"setup"
        try:
            _input(given)
            _leave(here)
            stage = b"directory"
            os.chdir(order.directory)
            stage = b"limits"
            _limit(order)
            stage = b"program"
            os.execve(order.path, order.argv, order.env)  # noqa: S606 - this is what a supervisor is for
        except OSError as error:
            os.write(tell, b"%d %s" % (error.errno or 0, stage))
        except ValueError:  # a limit beyond the hard one
            os.write(tell, b"1 %s" % stage)
        finally:
            os._exit(127)
    os.close(tell)
    return child, told


def _input(given: bytes) -> None:
    """Standard input: what is given, as a file without a name, or nothing."""
    if not given:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        return
    if sys.platform == "linux":
        file = os.memfd_create("input")
    else:
        name = f"/tmp/.mcp-guard.{os.getpid()}.{os.urandom(8).hex()}"  # noqa: S108 - exclusive, private, unlinked at once
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.unlink(name)
    view = memoryview(given)
    while view:
        view = view[os.write(file, view) :]
    os.lseek(file, 0, os.SEEK_SET)
    os.dup2(file, 0)


def _leave(parent: int) -> None:
    """A session of its own; ends with the supervisor."""
    os.setsid()
    os.umask(0o077)
    if LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(127)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def _limit(order: Order) -> None:
    limits = [
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, order.cpu, order.cpu + 1),
        (resource.RLIMIT_FSIZE, order.file_size, order.file_size),
        (resource.RLIMIT_NOFILE, order.open_files, order.open_files),
    ]
    if LINUX:
        limits.append((resource.RLIMIT_AS, order.memory, order.memory))
    if LINUX and os.geteuid() != 0:  # the limit counts all of an account's; root's are not counted at all
        most = _running() + order.processes
        limits.append((resource.RLIMIT_NPROC, most, most))
    for which, *wanted in limits:
        allowed = resource.getrlimit(which)[1]
        soft, hard = (value if allowed == resource.RLIM_INFINITY else min(value, allowed) for value in wanted)
        resource.setrlimit(which, (soft, hard))
    if LINUX and not order.keeps_privileges:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _watch(child: int, order: Order, woken: int) -> bytes:
    """Until the program has ended, has too many processes, or is to be stopped."""
    while not _ended(child):
        ready, _, _ = select.select([_CONTROL, woken], [], [], TICK if LINUX else None)
        if woken in ready:
            os.read(woken, 512)
        if _CONTROL in ready:
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGTERM)
            until = time.monotonic() + order.grace
            while time.monotonic() < until and not _ended(child):
                time.sleep(0.01)
            return b"stopped"
        if LINUX and len(_descendants()) > order.processes:
            return b"processes"
    return b"exit"


def _ended(child: int) -> bool:
    """Whether the program has ended. It stays a zombie where that can be, so that its number still means its group and
    nobody else's; descendants that fell to this process are taken leave of."""
    if not LINUX:  # macOS has no waitid before Python 3.13
        if child not in _STATUS:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                _STATUS[child] = status
        return child in _STATUS
    while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
        if found.si_pid == child:
            return True
        os.waitpid(found.si_pid, 0)
    return False


def _end_all(child: int) -> bytes:
    """Kill the program's group, at once, and then whoever left it, until there is nobody; how the program ended."""
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    status = _STATUS[child] if child in _STATUS else os.waitpid(child, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    pause = 0.001
    while LINUX and (left := _descendants()):
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(pause)
        pause = min(2 * pause, 0.1)  # what the kernel does not let go of costs no processor
    return b"exit %d" % code if code >= 0 else b"signal %d" % -code


def _descendants() -> list[int]:
    """Every living process below this one, by the kernel's own lists (proc(5))."""
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        pid = waiting.pop()
        below = _children(pid)
        found += below
        waiting += below
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass  # it ended meanwhile
    return found


def _running() -> int:
    """Threads this account runs, which is what its limit of processes counts."""
    uid, count = os.geteuid(), 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == uid:
                    count += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                continue
    return count


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    main()
