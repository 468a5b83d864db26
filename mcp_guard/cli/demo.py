"""`mcp-guard demo`."""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import click

from mcp_guard.cli.output import Output, pass_output, print_table


@dataclass(slots=True)
class _Scene:
    title: str
    about: str
    steps: list[str] = field(default_factory=list)
    tables: list[dict[str, object]] = field(default_factory=list)


@dataclass(slots=True)
class _Recording:
    """The demo's stage where one JSON document is wanted: everything that happened, for the end."""

    scenes: list[_Scene] = field(default_factory=list)

    @property
    def steps(self) -> int:
        return sum(len(scene.steps) for scene in self.scenes)

    def scene(self, title: str, about: str) -> None:
        self.scenes.append(_Scene(title, about))

    def done(self, what: str) -> None:
        self.scenes[-1].steps.append(what)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self.scenes[-1].tables.append({"columns": list(columns), "rows": [list(row) for row in rows]})


class _Terminal(_Recording):
    """The demo's stage on stdout, as it happens."""

    def scene(self, title: str, about: str) -> None:
        super().scene(title, about)
        click.echo(f"\n{click.style(f'{len(self.scenes)}. {title}', bold=True)}\n   {about}")

    def done(self, what: str) -> None:
        super().done(what)
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

    stage = _Recording() if output.as_json else _Terminal()
    play(stage)
    shown = {"ok": True, "steps": stage.steps, "scenes": [asdict(scene) for scene in stage.scenes]}
    return output.data(shown, (f"\nall {stage.steps} steps happened",))


def _run_sandbox(output: Output) -> None:
    from mcp_guard.demo.home import SANDBOX_PORT, payments_key, seed
    from mcp_guard.demo.sandbox import running

    home = output.load_home().directory
    with running(seed(home, payments_key()), SANDBOX_PORT) as sandbox:
        output.note(f"seeded {home / 'var'}")
        output.note(f"payments sandbox on http://127.0.0.1:{sandbox.port}; Ctrl-C ends it")
        threading.Event().wait()
