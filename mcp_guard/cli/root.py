"""The command tree. Each command's module is imported only when it runs, so that every command starts fast."""

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from mcp_guard import __version__
from mcp_guard.cli.output import Output, add_common_options, may_color, printable
from mcp_guard.kit.raised import kind_and_place
from mcp_guard.model.errors import GuardError, Invalid, UsageError

INTERRUPTED = 130

# command -> (module below mcp_guard.cli, one line for the overview)
_COMMANDS = {
    "approvals": ("approvals", "List, show and decide what waits for people."),
    "audit": ("audit", "Read and verify the audit log."),
    "call": ("call", "Carry out one governed call."),
    "completion": ("completion", "Print a completion script for a shell."),
    "config": ("config", "Show and check the configuration."),
    "connections": ("connections", "Connect, list and revoke accounts of people at upstreams."),
    "connect": ("connect", "Add this home to an MCP client's configuration."),
    "demo": ("demo", "Play the support-desk story on real parts, on loopback."),
    "disconnect": ("connect", "Take this home out of an MCP client's configuration."),
    "doctor": ("doctor", "Check everything this home needs, step by step."),
    "explain": ("explain", "Say what a code means and what to do."),
    "freeze": ("freeze", "Stop a subject, client, tool or tenant at once."),
    "init": ("init", "Make a new home."),
    "policy": ("policy", "Check, lint and test the policy."),
    "result": ("result", "Print a result that was too large for the answer of its call."),
    "secret": ("secret", "Check the secrets this home refers to."),
    "serve": ("serve", "Serve this home to MCP clients."),
    "tasks": ("tasks", "List, show, cancel and resume tasks."),
    "token": ("token", "Create, list and revoke bearer tokens."),
    "tools": ("tools", "List, show, lint and lock the tools of this home."),
    "unfreeze": ("freeze", "Lift a freeze."),
    "usage": ("usage", "Show what of the limits is used."),
}


class _Program(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"mcp_guard.cli.{_COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return add_common_options(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in sorted(_COMMANDS.items())])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read our output has seen enough. Python would complain when it flushes the rest at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return result


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--home", type=click.Path(path_type=Path), help="The home directory (else MCP_GUARD_HOME, else upwards).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only on stderr.")
@click.option("-v", "--verbose", is_flag=True, help="More on stderr.")
@click.version_option(__version__, prog_name="mcp-guard")
@click.pass_context
def cli(ctx: click.Context, home: Path | None, as_json: bool, quiet: bool, verbose: bool) -> None:
    """A governance server for MCP: identity, policy, approval and a provable audit log around every tool call."""
    ctx.obj = Output(home=home, as_json=as_json, verbosity=int(verbose) - int(quiet))
    if not may_color():
        ctx.color = False


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; errors are printed, never raised."""
    try:
        _refuse_broken_text(arguments)
        result = cli.main(args=list(arguments), prog_name="mcp-guard", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        return _fail_usage(error, arguments)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except GuardError as error:
        return _fail(error, arguments)
    except OSError as error:
        return _fail(GuardError(_about_system(error), hint="check the path and its permissions"), arguments)
    except Exception as error:  # noqa: BLE001 - the rim: nothing may escape as a traceback
        return _fail(_unexpected(error, _given(arguments, "-v", "--verbose")), arguments)


def _refuse_broken_text(arguments: Sequence[str]) -> None:
    """Bytes that are not text come from the system as half surrogates, which neither JSON nor a record can hold."""
    try:
        "".join(arguments).encode()
    except UnicodeEncodeError:
        raise UsageError("An argument is not valid UTF-8 text.") from None


def _given(arguments: Sequence[str], *flags: str) -> bool:
    """Whether a flag was given, even where the command line could not be understood."""
    before_values = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return any(argument in flags for argument in before_values)


def _fail(error: GuardError, arguments: Sequence[str]) -> int:
    if _given(arguments, "--json"):
        print(json.dumps({"error": _as_dict(error)}))
    elif isinstance(error, Invalid):
        print("\n".join(printable(str(problem)) for problem in error.problems), file=sys.stderr)
    else:
        print(printable(f"error[{error.code}]: {error.message}"), file=sys.stderr)
        if error.hint:
            print(printable(f"  hint: {error.hint}"), file=sys.stderr)
    return error.exit_code


def _as_dict(error: GuardError) -> dict[str, object]:
    shown: dict[str, object] = {"code": error.code, "message": error.message, "hint": error.hint}
    if isinstance(error, Invalid):
        shown["problems"] = [problem.as_dict() for problem in error.problems]
    return shown


def _fail_usage(error: click.ClickException, arguments: Sequence[str]) -> int:
    if not isinstance(error, click.exceptions.NoArgsIsHelpError):
        message = _without_values(error.format_message())
    elif _given(arguments, "--json"):
        message = "A command is needed."
    else:
        error.show()  # the help itself
        return error.exit_code
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"`{ctx.command_path if ctx else 'mcp-guard'} --help` shows what it takes"
    return _fail(UsageError(message, hint=hint), arguments)


def _without_values(message: str) -> str:
    """What click says, without what was typed where it may be a secret that lost its option."""
    from mcp_guard.secrets.redact import Redactor

    if message.startswith("Got unexpected extra argument"):
        return "There are too many arguments."
    return Redactor().text(message)


def _about_system(error: OSError) -> str:
    where = f"{error.filename}: " if isinstance(error.filename, str) else ""
    return f"{where}{error.strerror or type(error).__name__}"


def _unexpected(error: Exception, verbose: bool) -> GuardError:
    """No traceback and no message: either could hold a value. `-v` names the kind and place for a bug report."""
    message = "something unexpected went wrong"
    if verbose:
        message += f" ({kind_and_place(error)})"
    return GuardError(message, hint="run again with -v and report what it says")
