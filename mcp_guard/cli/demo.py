"""`mcp-guard demo`."""

import threading
from collections.abc import Sequence

import click

from mcp_guard.cli.output import Output, pass_output, print_table


class _Terminal:
    """The demo's stage on stdout."""

    def __init__(self) -> None:
        self.scenes = 0
        self.steps = 0

    def scene(self, title: str, about: str) -> None:
        self.scenes += 1
        click.echo(f"\n{click.style(f'{self.scenes}. {title}', bold=True)}\n   {about}")

    def done(self, what: str) -> None:
        self.steps += 1
        click.echo(f"   {click.style('✓', fg='green')} {what}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        print_table(columns, rows)


@click.command()
@click.option("--sandbox", "alone", is_flag=True, help="Only seed this home and keep its payments sandbox running.")
@pass_output
def demo(output: Output, alone: bool) -> None:
    """Play the support-desk story on real parts, on loopback; exit 0 only if every step happened."""
    if alone:
        return _run_sandbox(output)
    from mcp_guard.demo.story import play

    stage = _Terminal()
    play(stage)
    click.echo(f"\nall {stage.steps} steps happened")
    return None


def _run_sandbox(output: Output) -> None:
    from mcp_guard.demo.home import SANDBOX_PORT, payments_key, seed
    from mcp_guard.demo.sandbox import running

    home = output.load_home().directory
    with running(seed(home, payments_key()), SANDBOX_PORT) as sandbox:
        output.note(f"seeded {home / 'var'}")
        output.note(f"payments sandbox on http://127.0.0.1:{sandbox.port}; Ctrl-C ends it")
        threading.Event().wait()
