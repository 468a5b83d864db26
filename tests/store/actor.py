"""Processes for tests about several of them: `python -m tests.store.actor DEED PATH …`."""

import asyncio
import os
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.store import Store
from mcp_guard.store.values import Unit
from tests.store.helpers import assert_chained, entry, rows, unit


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def append(path: Path, count: str) -> None:
    """Append one record at a time, naming each that was acknowledged."""
    store = Store.open(path, "test")
    for i in range(int(count)):
        (stored,) = store.writer.submit_sync(unit(f"{os.getpid()}-{i}"))
        say(stored.n, stored.leaf)
    asyncio.run(store.aclose())


def intend(path: Path) -> None:
    """Leave intents open and wait to be killed."""
    store = Store.open(path, "test")
    (stored,) = store.writer.submit_sync(unit("intent", opens=True))
    say(store.boot, stored.n)
    sys.stdin.read()


def full(path: Path) -> None:
    """Fill the disk, be told so, make room, go on."""
    store = Store.open(path, "test")
    acknowledged = 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    try:
        while True:
            store.writer.submit_sync(_big())
            acknowledged += 1
    except StoreUnavailable as error:
        say("refused:", error.message)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.writer.submit_sync(_big())
    say("acknowledged:", acknowledged + 1)
    asyncio.run(store.aclose())


def brim(path: Path) -> None:
    """Begin acts until the file system is full, end all of them, make room, go on."""
    store = Store.open(path, "test")
    submit = store.writer.submit_sync
    begun: list[int] = []
    filler = path.parent / "filler"
    try:
        while True:
            (stored,) = submit(unit("intent", opens=True))
            begun.append(stored.n)
            if len(begun) == 20:  # somebody else fills the disk meanwhile
                fill(filler)
    except StoreUnavailable as error:
        say("refused:", error.message)
    say("intents:", len(begun))
    ended = [submit(Unit((entry("outcome" * 50, closes=n),), ends=True)) for n in begun]
    say("outcomes:", len(ended))
    say("open:", len(rows(path, "SELECT * FROM inflight")))
    filler.unlink()
    deadline = time.monotonic() + 60
    while store.writer.endings_only and time.monotonic() < deadline:
        with suppress(StoreUnavailable):
            submit(unit("intent", opens=True))
            say("goes on: yes")
    asyncio.run(store.aclose())
    assert_chained(path, store.origin)
    say("chained: yes")


def fill(path: Path) -> None:
    """Write until nothing fits any more."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def denied(path: Path) -> None:
    """Lose the right to the file, be told so, get it back, go on."""
    store = Store.open(path, "test")
    store.writer.submit_sync(unit())
    mode = path.parent.stat().st_mode
    root = os.geteuid() == 0
    if root:
        os.chmod(path.parent, 0o700)
        os.seteuid(65534)
    else:
        os.chmod(path.parent, 0)
    try:
        store.writer.submit_sync(unit())
    except StoreUnavailable as error:
        say("refused:", error.message)
    if root:
        os.seteuid(0)
    os.chmod(path.parent, mode)
    store.writer.submit_sync(unit())
    say("acknowledged:", 2)
    asyncio.run(store.aclose())


def _big() -> Unit:
    return unit()._replace(entries=(entry("y" * 2000, value=b"v" * 5000),))


if __name__ == "__main__":
    _, deed, name, *rest = sys.argv
    globals()[deed](Path(name), *rest)
