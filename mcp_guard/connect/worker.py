"""One call of a function in a process of its own. A script: started for every call, with a declared environment.

It reads one JSON object from standard input and writes one to what was its standard output. Where that names a pipe,
the arguments come through it later, once the function is imported (`spares`). What the function prints
goes to the standard error, which is the operator's log.
"""

import asyncio
import inspect
import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import cast

from mcp_guard.connect.building import Builders
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.python import Function, ToolError, current_home, find, plain_json
from mcp_guard.connect.spares import HEAD
from mcp_guard.kit import strict_json
from mcp_guard.kit.raised import kind_and_place
from mcp_guard.model.errors import Refused


def main() -> None:
    order = strict_json.loads(sys.stdin.buffer.read())
    assert isinstance(order, dict)
    for name in set(os.environ) - set(order["variables"]):
        del os.environ[name]  # Python itself adds LC_CTYPE where no locale is set (PEP 538)
    pipe = os.open(str(order["pipe"]), os.O_RDWR) if "pipe" in order else None  # with a writer, so that it has no end
    answer = os.dup(1)
    os.dup2(2, 1)
    said = strict_json.dumps(_carry_out(order, pipe))
    sys.stdout.flush()
    while said:
        said = said[os.write(answer, said) :]


def _carry_out(order: dict[str, object], pipe: int | None) -> dict[str, object]:
    sys.path.append(str(order["home"]))
    current_home.set(Path(str(order["home"])))
    try:
        function = find(str(order["function"]))
        builders = Builders.of(function, tuple(cast(list[str], order["built"])))
    except BaseException as error:  # noqa: BLE001 - importing runs code of the home; anything can happen
        return {"kind": "import", "text": kind_and_place(error)}
    try:
        given = order["arguments"] if pipe is None else strict_json.loads(_received(pipe))
        arguments = builders.build(cast(dict[str, object], given))
        return {"kind": "value", "value": plain_json(_called(function, arguments))}
    except ToolError as error:
        return {"kind": "tool_error", "text": error.message, "executed": error.executed}
    except Failed as failed:
        return {"kind": "failed", "code": failed.code, "text": failed.reason, "executed": failed.executed}
    except Refused as refused:
        return {"kind": "refused", "code": refused.code, "text": refused.reason, "executed": refused.executed}
    except BaseException as error:  # noqa: BLE001 - a function's SystemExit is its failure
        return {"kind": "raised", "text": kind_and_place(error)}


def _received(pipe: int) -> bytes:
    """What comes through the pipe: a number of bytes, and as many."""
    data = _exactly(pipe, int(_exactly(pipe, HEAD)))
    os.close(pipe)
    return data


def _exactly(pipe: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(pipe, min(size - len(data), 1 << 20))
    return data


def _called(function: Function, arguments: dict[str, object]) -> object:
    if not inspect.iscoroutinefunction(function):
        return function(**arguments)

    async def awaited() -> object:
        return await cast(Awaitable[object], function(**arguments))

    return asyncio.run(awaited())


if __name__ == "__main__":
    main()
