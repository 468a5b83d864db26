"""The stand-alone verifier as tests use it: the very file users get, run in this process or in a bare one."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mcp_guard.audit.bundle import bundle


@cache
def module() -> ModuleType:
    """The file as a module."""
    made = ModuleType("standalone_verifier")
    sys.modules[made.__name__] = made  # dataclasses look their module up
    exec(compile(bundle(), "verify.py", "exec"), made.__dict__)
    return made


def run(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON document of `verify.py … --json`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = module().main([*map(str, arguments), "--json"])
        except SystemExit as ended:  # argparse
            status = ended.code
    return status, json.loads(out.getvalue()) if out.getvalue() else {"message": err.getvalue()}
