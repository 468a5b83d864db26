"""`mcp-guard init [DIR]`."""

import re
from pathlib import Path

import click

from mcp_guard.cli.output import Output, pass_output
from mcp_guard.model.errors import UsageError

_CONFIG = """\
apiVersion: mcp-guard/v1
name: "{name}"
tools: [tool_manifests/*.yaml]
policy:
  model: policy/model.conf
  rules: policy/policy.csv
  principals: policy/principals.yaml
  tests: [policy/tests/*.yaml]
identity:
  # Who acts here without a token, on stdio and with `--as`. Recorded as `declared`: nobody has proved it.
  local: {{allow: true, subject: "user:me", client: "agent:local", tenant: home}}
"""

_TOOLS = """\
apiVersion: mcp-guard/v1
kind: Tools
toolset: hello
tools:
  - name: hello_greet
    title: Greet somebody
    description: Greet somebody by name.
    annotations: {readOnlyHint: true, openWorldHint: false}
    tags: [risk:low]
    effects: none
    scopes: [hello:greet]
    inputSchema:
      type: object
      properties: {name: {type: string, minLength: 1, maxLength: 100}}
      required: [name]
    python: {function: "home_tools:greet"}
"""

_FUNCTION = '''\
"""Functions behind this home's tools."""


def greet(name: str) -> dict[str, str]:
    """Greet somebody."""
    return {"greeting": f"Hello {name}!"}
'''

_RULES = """\
# id, who, via, tenant, act, tool, when, eft, then, why
p, hello-list, user:me, *, home, list, toolset:hello, True, allow, -, my own tools
p, hello-call, user:me, *, home, call, hello_greet, True, allow, -, greeting harms nobody
p, whoami, *, *, *, *, guard:whoami, True, allow, -, everybody may see who they are
p, permissions, *, *, *, *, guard:permissions, True, allow, -, everybody may see what they may do
p, usage, *, *, *, *, guard:usage, True, allow, -, everybody may see what they used of their limits
p, own-records, user:me, *, home, audit, audit:records, True, allow, rows=own, I read the records of my own calls
"""

_PRINCIPALS = """\
apiVersion: mcp-guard/v1
kind: Principals
principals:
  "user:me": {tenant: home, scopes: ["hello:greet"]}
"""

_TESTS = """\
- name: I may greet
  as: user:me
  via: agent:local
  tenant: home
  tool: hello_greet
  args: {name: World}
  want: {effect: allow, rule: hello-call}
- name: nobody else may
  as: user:stranger
  via: agent:local
  tenant: home
  tool: hello_greet
  args: {name: World}
  want: {effect: deny, rule: guard:default}
"""


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
@pass_output
def init(output: Output, directory: Path | None) -> None:
    """Make a home in DIRECTORY (else here): a configuration, one harmless tool and a policy that allows it.

    Nothing that is there already is overwritten.
    """
    directory = directory or output.home or Path()
    files = _files(directory)
    present = [str(path) for path in files if path.exists()]
    if present:
        raise UsageError(f"{present[0]} is already there.", hint="choose an empty directory; nothing was written")
    ignored = directory / ".gitignore"
    if not ignored.exists():
        files[ignored] = "var/\n__pycache__/\n"
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    written = [str(path) for path in files]
    output.data({"written": written}, (f"written: {path}" for path in written))
    output.note(f"next: mcp-guard --home {directory} call hello_greet name=World")


def _files(directory: Path) -> dict[Path, str]:
    from mcp_guard.policy.model_file import MODEL

    return {
        directory / "mcp-guard.yaml": _CONFIG.format(name=_name_after(directory)),
        directory / "tool_manifests" / "hello.yaml": _TOOLS,
        directory / "home_tools.py": _FUNCTION,
        directory / "policy" / "model.conf": MODEL,
        directory / "policy" / "policy.csv": _RULES,
        directory / "policy" / "principals.yaml": _PRINCIPALS,
        directory / "policy" / "tests" / "hello.yaml": _TESTS,
    }


def _name_after(directory: Path) -> str:
    """A server name (`config.settings.Name`) made from the directory's."""
    return re.sub("[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-")[:60].rstrip("-") or "home"
