"""The command line as a document: `python -m mcp_guard.cli.reference > docs/cli.md`."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Final

import click

from mcp_guard.cli.explain import known_codes
from mcp_guard.cli.root import cli

EXIT_STATUSES: Final[Mapping[int, str]] = {
    0: "ok",
    1: "something unexpected",
    2: "wrong usage",
    3: "invalid configuration, manifest or policy; arguments that a tool does not take",
    4: "tests failed, or there are none",
    5: "denied, unknown, limited or frozen",
    6: "an approval is pending or expired",
    7: "the system behind a tool, or its output, failed",
    8: "the audit log is broken or cannot be read or written",
    130: "interrupted",
}
"""Contract section 5."""

_HEAD = """\
# Command line

This page is made by `python -m mcp_guard.cli.reference` from the commands themselves; a test keeps it current.

stdout is data, stderr is for people. Every command takes `--json`, before or behind its name, and then prints one JSON
document on stdout, for errors `{"error": {"code", "message", "hint", "problems"?}}`. Tables and texts for people never
hold characters that could command a terminal. Colors appear on terminals only, and not where `NO_COLOR` is set.
"""


def render() -> str:
    """The whole reference, in Markdown."""
    context = click.Context(cli, info_name="mcp-guard", **cli.context_settings)
    parts = [_HEAD, _statuses(), _codes(), "## Options of every command\n", _options(cli, context)]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        parts += _sections(command, name, context)
    return "\n".join(parts)


def _sections(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(["mcp-guard", *context.command_path.split()[1:], *command.collect_usage_pieces(context)])
    yield f"## {context.command_path}\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    if not isinstance(command, click.Group):
        yield f"```\n{usage}\n```\n"
        if options := _options(command, context):
            yield options
        return
    for below in command.list_commands(context):
        found = command.get_command(context, below)
        assert found is not None
        yield from _sections(found, below, context)


def _options(command: click.Command, context: click.Context) -> str:
    common = set() if command is cli else {"--json", "--quiet", "--verbose", "--help"}
    records = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        and not common.intersection(parameter.opts)
        and (record := parameter.get_help_record(context)) is not None
    ]
    return "".join(f"- `{declared}`: {_cell(help_text)}\n" for declared, help_text in records)


def _statuses() -> str:
    rows = "".join(f"| {status} | {meaning} |\n" for status, meaning in EXIT_STATUSES.items())
    return f"## Exit status\n\n| status | meaning |\n|---|---|\n{rows}"


def _codes() -> str:
    rows = "".join(
        f"| `{code}` | {entry.exit_code} | {entry.retry} | {_cell(entry.meaning)} |\n"
        for code, entry in known_codes().items()
    )
    head = "## Codes\n\n`mcp-guard explain CODE` also says what to do.\n\n"
    return f"{head}| code | status | retry | meaning |\n|---|---|---|---|\n{rows}"


def _cell(text: str) -> str:
    return text.replace("  ", " ").replace("|", "\\|")


if __name__ == "__main__":
    import sys

    sys.stdout.write(render())
