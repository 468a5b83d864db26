"""What a home's functions do, and what they do wrong."""

import asyncio
import math
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from mcp_guard.connect.python import ToolError, current_home

SECRET = "s3cret-value-of-the-test"
calls: list[dict[str, object]] = []
release = threading.Event()
context: ContextVar[str] = ContextVar("context", default="unset")
not_a_function = 7


@dataclass
class Point:
    x: int


class Methods:
    @staticmethod
    def inner() -> str:
        return "inner"


def add(a: int, b: int = 0) -> int:
    calls.append({"a": a, "b": b})
    return a + b


async def add_later(a: int, b: int = 0) -> dict[str, int]:
    await asyncio.sleep(0)
    return {"sum": a + b}


def change(items: list[object]) -> list[object]:
    items.append("changed")
    return items


def identity(value: object) -> object:
    return value


def thread_and_context() -> list[object]:
    return [threading.current_thread() is threading.main_thread(), context.get()]


def where_am_i() -> str:
    return str(current_home.get())


async def where_am_i_later() -> str:
    return str(current_home.get())


def which_thread() -> int:
    return threading.get_ident()


def wait_for_release() -> str:
    release.wait(20)
    return "late"


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


def fail() -> NoReturn:
    raise ValueError(f"the key is {SECRET}")


async def fail_later() -> NoReturn:
    raise ValueError(f"the key is {SECRET}")


def tell() -> NoReturn:
    raise ToolError(f"no such order; key {SECRET}; " + "x" * 1000 + "\n\u202e")


def tell_unexecuted() -> NoReturn:
    raise ToolError("closed on Sundays", executed="no")


def leave() -> NoReturn:
    raise SystemExit(3)


async def leave_later() -> NoReturn:
    raise SystemExit(3)


def stop() -> NoReturn:
    raise StopIteration


async def cancel_itself() -> NoReturn:
    raise asyncio.CancelledError


def time_out() -> NoReturn:
    raise TimeoutError("of its own")


def _nested() -> object:
    value: object = 1
    for _ in range(100):
        value = [value]
    return value


def _circle() -> object:
    circle: list[object] = []
    circle.append(circle)
    return circle


NOT_JSON: dict[str, Callable[[], object]] = {
    "nan": lambda: math.nan,
    "infinity": lambda: {"a": [math.inf]},
    "huge": lambda: 2**70,
    "tuple": lambda: (1, 2),
    "set": lambda: {1},
    "bytes": lambda: b"x",
    "date": lambda: datetime.now(UTC),
    "object": object,
    "dataclass": lambda: Point(1),
    "integer key": lambda: {1: 2},
    "surrogate": lambda: "\ud800",
    "deep": _nested,
    "circle": _circle,
    "function": lambda: add,
}


def not_json(which: str) -> object:
    return NOT_JSON[which]()


def large() -> str:
    return "x" * 9_000_000


def leak() -> dict[str, str]:
    return {"note": f"the key is {SECRET}"}
