"""The command tree. Each command's module is imported only when it runs, so that every command starts fast."""

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from mcp_guard import __version__
from mcp_guard.cli.output import Output
from mcp_guard.model.errors import GuardError, Invalid

# command -> (module below mcp_guard.cli, one line for the overview)
_COMMANDS = {
    "audit": ("audit", "Read and verify the audit log."),
    "call": ("call", "Carry out one governed call."),
    "completion": ("completion", "Print a completion script for a shell."),
    "config": ("config", "Show and check the configuration."),
    "connect": ("connect", "Add this home to an MCP client's configuration."),
    "demo": ("demo", "Play the support-desk story on real parts, on loopback."),
    "disconnect": ("connect", "Take this home out of an MCP client's configuration."),
    "explain": ("explain", "Say what a code means and what to do."),
    "init": ("init", "Make a new home."),
    "policy": ("policy", "Check, lint and test the policy."),
    "serve": ("serve", "Serve this home to MCP clients."),
    "token": ("token", "Create, list and revoke bearer tokens."),
    "tools": ("tools", "List, show and lint the tools of this home."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"mcp_guard.cli.{_COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in sorted(_COMMANDS.items())])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--home", type=click.Path(path_type=Path), help="The home directory (else MCP_GUARD_HOME, else upwards).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only on stderr.")
@click.option("-v", "--verbose", is_flag=True, help="More on stderr.")
@click.version_option(__version__, prog_name="mcp-guard")
@click.pass_context
def cli(ctx: click.Context, home: Path | None, as_json: bool, quiet: bool, verbose: bool) -> None:
    """A governance server for MCP: identity, policy, approval and a provable audit log around every tool call."""
    ctx.obj = Output(home=home, as_json=as_json, verbosity=int(verbose) - int(quiet))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; errors are printed, never raised."""
    try:
        result = cli.main(args=list(arguments), prog_name="mcp-guard", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return _fail_usage(error, arguments)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except GuardError as error:
        return _fail(error, arguments)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left; Python would complain about flushing it
        return 0
    except Exception as error:
        return _fail_unexpectedly(error, arguments)


def _fail(error: GuardError, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        print(json.dumps({"error": _as_dict(error)}))
    elif isinstance(error, Invalid):
        print("\n".join(str(problem) for problem in error.problems), file=sys.stderr)
    else:
        print(f"error[{error.code}]: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
    return error.exit_code


def _as_dict(error: GuardError) -> dict[str, object]:
    shown: dict[str, object] = {"code": error.code, "message": error.message, "hint": error.hint}
    if isinstance(error, Invalid):
        shown["problems"] = [problem.as_dict() for problem in error.problems]
    return shown


def _fail_usage(error: click.ClickException, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        print(json.dumps({"error": {"code": "usage", "message": error.format_message(), "hint": "--help"}}))
    else:
        error.show()
    return 2


def _fail_unexpectedly(error: Exception, arguments: Sequence[str]) -> int:
    """No traceback and no message: either could hold a value. `-v` names the kind and place for a bug report."""
    message = "something unexpected went wrong"
    if "-v" in arguments or "--verbose" in arguments:
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        place = f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}" if last else "?"
        message += f" ({type(error).__name__} at {place})"
    return _fail(GuardError(message, hint="run again with -v and report what it says"), arguments)
