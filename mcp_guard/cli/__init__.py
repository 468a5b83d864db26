"""The command line: thin commands over the other packages, and the only place that prints."""

import sys

from mcp_guard.cli.root import run


def main() -> None:
    """Entry point of `mcp-guard`: runs the command and exits with its documented status."""
    sys.exit(run(sys.argv[1:]))
