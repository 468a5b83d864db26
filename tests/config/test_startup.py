"""What a command that only loads settings must not pay for."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_loading_settings_imports_no_heavy_part() -> None:
    code = (
        "import sys, mcp_guard.config.load as m; "
        "assert not {'pydantic', 'ruamel.yaml'} & set(sys.modules), 'imported too early'; "
        "m.load(environ={}); "
        "print(sorted({'mcp', 'httpx', 'casbin', 'jsonschema_rs', 'cryptography'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
