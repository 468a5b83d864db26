"""`mcp-guard config …`."""

import json
from pathlib import Path

import click

from mcp_guard.cli.output import Output, pass_output


@click.group()
def config() -> None:
    """Show and check the configuration."""


@config.command()
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@pass_output
def show(output: Output, origin: bool) -> None:
    """The settings in effect, by dotted key."""
    home = output.load_home()
    values = _flat(home.settings.model_dump(mode="json", by_alias=True), "")
    if origin:
        shown = {key: {"value": value, "origin": home.origins.get(key, "default")} for key, value in values.items()}
        rows = [(key, json.dumps(value), home.origins.get(key, "default")) for key, value in values.items()]
        output.table(shown, ("setting", "value", "origin"), rows)
    else:
        output.table(values, ("setting", "value"), [(key, json.dumps(value)) for key, value in values.items()])


@config.command()
@pass_output
def validate(output: Output) -> None:
    """Check everything the home declares: configuration, tools, principals and policy; exit 3 if anything is wrong."""
    from mcp_guard.build import define

    definition = define(output.load_home())
    tools = len(definition.catalog)
    output.data(
        {"ok": True, "tools": tools, "policy": definition.policy.version},
        (f"ok: {tools} tools, policy {definition.policy.version[:12]}",),
    )


@config.command()
@click.option("--write", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write the files there.")
@pass_output
def schema(output: Output, folder: Path | None) -> None:
    """The JSON Schemas of the configuration and the manifests, by file name."""
    from mcp_guard.config.schemas import schemas

    files = schemas()
    if folder is None:
        output.data({name: json.loads(text) for name, text in files.items()}, files.values())
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    output.data({"written": sorted(files)}, (f"written: {folder / name}" for name in sorted(files)))


def _flat(values: dict[str, object], prefix: str) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
