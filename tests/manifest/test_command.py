"""A program found once, elements in which arguments may stand, and nothing that leads to the guard's own files."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from mcp_guard.kit import programs
from mcp_guard.model.tool import CommandSpec, ProcessLimits, Sandbox
from tests.manifest.conftest import Compile, Lint
from tests.manifest.texts import manifest, tool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="commands are not for Windows")

PROPERTIES = (
    "{repo: {type: string}, n: {type: integer}, paths: {type: array, items: {type: string}}, o: {type: object}}"
)


def text(command: str, *, required: str = "[repo]", more: str = "") -> str:
    return manifest(tool(properties=PROPERTIES, required=required, more=more, connector=f"command: {{{command}}}"))


def spec(compile_tool: Compile, command: str, *, required: str = "[repo]", more: str = "") -> CommandSpec:
    found = compile_tool(text(command, required=required, more=more)).connector
    assert isinstance(found, CommandSpec)
    return found


def errors(lint_texts: Lint, command: str, *, required: str = "[repo]", more: str = "") -> list[str]:
    catalog, problems = lint_texts(text(command, required=required, more=more))
    found = [problem.code for problem in problems if problem.severity == "error"]
    assert (catalog is None) == bool(found)
    return found


def test_a_command_is_found_and_pinned_by_its_path(compile_tool: Compile, home: Path) -> None:
    (home / "work").mkdir()
    found = spec(compile_tool, 'argv: [cat, "--n={n}", "--", "{paths}"], cwd: work, env: {LANG: C}', more="timeout: 7s")
    assert found.program == shutil.which("cat", path=programs.SEARCH_PATH)
    assert (found.argv, found.cwd) == (("cat", "--n={n}", "--", "{paths}"), str(home.resolve() / "work"))
    assert (found.env, found.max_bytes, found.ok_exits) == ((("LANG", "C"),), 65536, None)
    assert found.limits == ProcessLimits(cpu=7, memory=2 * 1024**3, file_size=64 * 1024**2)
    assert spec(compile_tool, 'argv: [cat, "{repo}"]').cwd is None


def test_a_program_of_the_home_is_named_by_its_path(compile_tool: Compile, lint_texts: Lint, home: Path) -> None:
    (home / "bin").mkdir()
    (home / "bin/report").write_text("#!/bin/sh\n")
    assert errors(lint_texts, 'argv: [bin/report, "{repo}"]') == ["program"]
    (home / "bin/report").chmod(0o755)
    assert spec(compile_tool, 'argv: [bin/report, "{repo}"]').program == str(home.resolve() / "bin/report")
    (home / "bin/report").chmod(0o757)
    assert errors(lint_texts, 'argv: [bin/report, "{repo}"]') == ["program"]


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ('argv: ["no-such-program", "{repo}"]', ["program"]),
        ('argv: ["{repo}"]', ["template"]),
        ('argv: ["${secret:k}", "{repo}"]', ["template"]),
        ('argv: [cat, "{other}"]', ["unknown_argument"]),
        ('argv: [cat, "{repo"]', ["template"]),
        ('argv: [cat, "{repo}", "${secret:key}"]', ["reference_place"]),
        ('argv: [cat, "{repo}", "{o}"]', ["argument_type"]),
        ('argv: [cat, "{repo}", "--x={paths}"]', ["argument_type"]),
        ('argv: [cat, "{repo}", "-n", "{n}"]', ["optional_argument"]),
        ('argv: [cat, "{repo}"], env: {A: "x ${secret:k}"}', ["reference"]),
        ('argv: [cat, "{repo}"], env: {A: "${token:call}"}', ["reference"]),
        ('argv: [cat, "{repo}"], env: {"A-B": x}', ["variable"]),
        ('argv: [cat, "{repo}"], max_output: 2MiB', ["value"]),
        ('argv: [cat, "{repo}"], network: true', ["sandbox"]),
        ('argv: [cat, "{repo}"], within: {n: work}', ["path", "unused_argument"]),
        ('argv: [cat, "{repo}"], within: {other: work}', ["unknown_argument", "unused_argument"]),
        ('argv: [cat, "{repo}"], allow_dash: [n]', ["unused_argument"]),
        ('argv: [cat, "{repo}"], cwd: nowhere', ["path"]),
        ('argv: [cat, "{repo}"], limits: {cpu: 0s}', ["value"]),
        ('argv: [cat, "{repo}"], limits: {memory: 0B}', ["value"]),
        ('argv: [cat, "{repo}"], ok_exits: [256]', ["value"]),
        ('argv: [cat, "{repo}"], shell: true', ["unknown_key"]),
        ("argv: cat", ["type"]),
        ("argv: []", ["value"]),
        (f'argv: [cat, "{{repo}}"], sha256: {"f" * 64}', ["pin"]),
    ],
)
def test_what_cannot_be_kept_is_refused(lint_texts: Lint, command: str, codes: list[str]) -> None:
    assert sorted(errors(lint_texts, command)) == codes


@pytest.mark.holds("command:argv-only")
@pytest.mark.parametrize(
    "argv",
    [
        '[sh, -c, "ls {repo}"]',
        '[/bin/sh, "-c", "{repo}"]',
        '[python3, -c, "print({repo})"]',
        '[env, sh, -c, "{repo}"]',
        '[timeout, "5", bash, -ec, "{repo}"]',
        '[nice, python3, -Bc, "{repo}"]',
        '[perl, -ne, "{repo}"]',
        '[env, -S, "{repo}"]',
    ],
)
def test_an_argument_is_no_part_of_a_script(lint_texts: Lint, argv: str) -> None:
    assert "shell" in errors(lint_texts, f"argv: {argv}")


def test_an_option_of_a_script_is_no_program(compile_tool: Compile, home: Path) -> None:
    assert spec(compile_tool, 'argv: [python3, tool.py, -p, "{repo}", -e, "{n}"]', required="[repo, n]").argv[2] == "-p"


def test_a_fixed_script_may_have_arguments(compile_tool: Compile) -> None:
    assert spec(compile_tool, 'argv: [sh, -c, \'ls -- "$1"\', sh, "{repo}"]').argv[-1] == "{repo}"


@pytest.mark.holds("manifest:cannot-reach-home")
@pytest.mark.parametrize(
    "command",
    [
        'argv: [cat, "{repo}"], cwd: "."',
        'argv: [cat, "{repo}"], cwd: "/"',
        'argv: [cat, "{repo}"], cwd: ".."',
        'argv: [cat, "{repo}"], cwd: policy',
        'argv: [cat, "{repo}"], cwd: var',
        'argv: [cat, "{repo}"], cwd: var/keys',
        'argv: [cat, "{repo}"], cwd: link',
        'argv: [cat, "{repo}"], within: {repo: "."}',
        'argv: [cat, "{repo}"], within: {repo: tool_manifests}',
        'argv: [cat, "{repo}", "/"]',
        'argv: [cat, "{repo}", "--root=/"]',
        'argv: [cat, "{repo}", HOME]',
        'argv: [cat, "{repo}", HOME/mcp-guard.yaml]',
        'argv: [cat, "{repo}", HOME/var/guard.db-wal]',
        'argv: [cat, "{repo}", "HOME/policy/{repo}"]',
        'argv: [cat, "{repo}", "--file=HOME/link/policy.csv"]',
        'argv: [cat, "{repo}", ../policy/policy.csv], cwd: work',
        'argv: [policy/run, "{repo}"]',
    ],
)
def test_a_command_that_reaches_the_guard_is_refused(lint_texts: Lint, home: Path, command: str) -> None:
    (home / "work").mkdir()
    (home / "link").symlink_to("policy")
    for name in ("policy/policy.csv", "mcp-guard.yaml", "policy/run"):
        (home / name).write_text("")
        (home / name).chmod(0o755)
    assert errors(lint_texts, command.replace("HOME", str(home))) == ["reaches_home"]


@pytest.mark.holds("manifest:cannot-reach-home")
def test_a_hard_link_to_the_guards_files_is_seen_through(lint_texts: Lint, home: Path) -> None:
    (home / "var/guard.db").write_text("")
    (home / "work").mkdir()
    os.link(home / "var/guard.db", home / "work/data.db")
    assert errors(lint_texts, 'argv: [cat, "{repo}", data.db], cwd: work') == ["reaches_home"]


def test_directories_beside_the_guards_files_are_fine(compile_tool: Compile, home: Path, tmp_path: Path) -> None:
    (home / "var/repos").mkdir()
    found = spec(compile_tool, 'argv: [cat, "-C", "{repo}", "/usr/share"], cwd: var/repos, within: {repo: var/repos}')
    assert found.within == (("repo", str(home.resolve() / "var/repos")),)


@pytest.mark.holds("command:pinned")
def test_the_fingerprint_covers_everything_that_runs(compile_tool: Compile, home: Path) -> None:
    for name in ("a", "b"):
        (home / name).mkdir()
    cat = Path(str(programs.find_program("cat")))
    pin = hashlib.sha256(cat.read_bytes()).hexdigest()
    base = 'argv: [cat, "--", "{repo}"]'
    variants = [
        base,
        'argv: [head, "--", "{repo}"]',
        'argv: [cat, "-n", "--", "{repo}"]',
        *(
            f"{base}, {more}"
            for more in (
                "cwd: a",
                "cwd: b",
                "env: {A: x}",
                "env: {A: y}",
                "within: {repo: a}",
                "allow_dash: [repo]",
                "ok_exits: [0]",
                "max_output: 1KiB",
                "limits: {cpu: 1s}",
                "limits: {memory: 1GiB}",
                "limits: {file_size: 1KiB}",
                "limits: {open_files: 9}",
                f"sha256: {pin}",
            )
        ),
    ]
    assert len({compile_tool(text(variant)).fingerprint for variant in variants}) == len(variants)


def test_a_sandbox_that_is_not_there_is_an_error(lint_texts: Lint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "bubblewrap", lambda: None)
    assert errors(lint_texts, 'argv: [cat, "{repo}"], sandbox: bubblewrap') == ["sandbox"]


@pytest.mark.skipif(programs.bubblewrap() is None, reason="no working bubblewrap (`bwrap`) on this machine")
def test_a_sandboxed_tool_without_effects_may_not_write(compile_tool: Compile) -> None:
    command = 'argv: [cat, "{repo}"], sandbox: bubblewrap'
    assert spec(compile_tool, command).sandbox == Sandbox("bubblewrap", network=False, writes=True)
    found = spec(compile_tool, f"{command}, network: true", more="effects: none")
    assert found.sandbox == Sandbox("bubblewrap", network=True, writes=False)


def test_a_secret_written_out_is_warned_of(lint_texts: Lint) -> None:
    for command in ('argv: [cat, "{repo}"], env: {API_KEY: abc}', 'argv: [cat, "{repo}", "sk-abcdefghijklmnop"]'):
        catalog, problems = lint_texts(text(command))
        assert catalog is not None
        assert "literal_secret" in [problem.code for problem in problems]
