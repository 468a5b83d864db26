"""The command line: thin commands over the other packages, and the only place that prints."""

import io
import os
import sys

from mcp_guard.cli.root import run


def main() -> None:
    """Entry point of `mcp-guard`: runs the command and exits with its documented status."""
    # Whatever else is installed has no business in what is validated, and looking for it is slow.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character is no reason to fail
    sys.exit(run(sys.argv[1:]))
