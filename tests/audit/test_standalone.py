"""The stand-alone verifier: one file, a bare Python, the same verdict as the program."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.audit import bundle as bundle_module
from mcp_guard.audit.bundle import bundle
from mcp_guard.audit.record_form import FormCheck
from mcp_guard.audit.verify import Evidence, parse, verify
from mcp_guard.kit import strict_json
from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.note import COSIGNATURE
from tests.audit import standalone
from tests.audit.helpers import story
from tests.audit.signing import Signer, checkpoint
from tests.store.helpers import lines


@pytest.mark.holds("audit:standalone")
async def test_it_runs_on_a_bare_python_and_on_several_cores(path: Path, tmp_path: Path) -> None:
    """`-I -S`: no site-packages, no environment, no directory of ours on the path."""
    origin = await story(path, acts=8)
    log = lines(path)
    signer, witness = Signer(origin, 1), Signer("witness.example/1", 2, COSIGNATURE)
    (tmp_path / "verify.py").write_text(bundle(), encoding="utf-8")
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(log) + b"\n")
    note = witness.sign(checkpoint(log, origin, signer), 1_800_000_000)
    (tmp_path / "checkpoint").write_bytes(note.format())
    arguments = ["--key", str(signer.key), "--checkpoint", "checkpoint", "--witness", str(witness.key), "--deep"]
    command = [sys.executable, "-I", "-S", "verify.py", "log.jsonl", *arguments]
    for more in ([], ["-j", "2"]):
        ran = subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.splitlines() == [
            f"log: {origin}",
            "records: 20",
            "signed: 20",
            "anchored: 20 (last by witness.example/1 at 2027-01-15 08:00:00 UTC, size 20)",
            f"head: {leaf_hash(log[-1])}",
            "ok",
        ]
    (tmp_path / "log.jsonl").write_bytes(b"\n".join([*log[:5], *log[6:]]))
    ran = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 8
    assert json.loads(ran.stdout)["error"]["n"] == 5


@pytest.mark.holds("audit:standalone")
def test_it_imports_the_standard_library_only() -> None:
    tree = ast.parse(bundle())
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {alias.name for node in found if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in found if isinstance(node, ast.ImportFrom)}
    assert {module.partition(".")[0] for module in modules} <= sys.stdlib_module_names
    assert all(node.col_offset == 0 for node in found), "everything it needs stands at its top"


@pytest.mark.holds("audit:standalone")
def test_it_is_made_of_the_programs_own_lines() -> None:
    source = bundle()
    for name in bundle_module.MODULES:
        text = (Path(bundle_module.__file__).parents[1] / f"{name}.py").read_text(encoding="utf-8")
        for part in ast.parse(text).body:
            if isinstance(part, ast.FunctionDef | ast.ClassDef):
                assert (ast.get_source_segment(text, part) or text) in source


@pytest.mark.holds("audit:standalone")
def test_two_modules_that_mean_different_things_by_a_name_are_not_put_in_one_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundle_module, "MODULES", ("kit/strict_json", "audit/standalone"))
    with pytest.raises(ValueError, match="both say"):
        bundle()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=4), below)
    ),
    max_leaves=8,
)


@pytest.mark.holds("audit:standalone")
@settings(deadline=None)  # the first example makes the file
@given(value=JSON, spaces=st.booleans(), plain=st.booleans())
def test_its_json_takes_the_records_that_the_programs_takes(value: object, spaces: bool, plain: bool) -> None:
    separators = (", ", ":") if spaces else (",", ":")
    line = json.dumps({"x": value}, separators=separators, sort_keys=True, ensure_ascii=plain).encode(
        "utf-8", "surrogatepass"
    )
    mine, theirs = standalone.module().parse_plainly(line), parse(line)
    if _is_profile(value):
        assert mine == theirs
    assert isinstance(theirs, dict) <= isinstance(mine, dict) or not _is_profile(value)


def _is_profile(value: object) -> bool:
    """What records consist of: strings, integers of 64 bits, containers."""
    if isinstance(value, dict):
        return all(map(_is_profile, value.values()))
    if isinstance(value, list):
        return all(map(_is_profile, value))
    return isinstance(value, str) or (type(value) is int and -(2**63) <= value < 2**64)


@pytest.mark.holds("audit:standalone")
@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"1",
        b"nul",
        b'{"x":NaN}',
        b'{"x":1e999}',
        b'{"x":1,"x":1}',
        b'{"x":"\\ud800"}',
        b'{"x":"\xff"}',
        b'{"x":' + b"9" * 5000 + b"}",
        b'{"x":18446744073709551616}',
        b"[" * 100_000,
        b'{"x":' * 1000 + b"1" + b"}" * 1000,
        b'\xef\xbb\xbf{"x":1}',
        b'{"b":1,"a":1}',
        b'{"x":"\\u0061"}',
    ],
)
def test_hostile_json_is_refused_by_both_and_crashes_neither(line: bytes) -> None:
    mine = standalone.module().FormCheck(standalone.module().parse_plainly).feed(0, line)
    assert mine == FormCheck(parse).feed(0, line)
    assert mine[1] is not None


@pytest.mark.holds("audit:standalone")
@pytest.mark.parametrize("line", [{"a": '\x7f\x00\x1f\n\t"\\/é\u2028\U0001f600'}, {"a": [1, {"b": -1}]}, {}])
def test_awkward_strings_are_canonical_to_both(line: dict[str, object]) -> None:
    data = strict_json.dumps(line)
    assert standalone.module().parse_plainly(data) == parse(data) == line


@pytest.mark.holds("audit:standalone")
def test_arguments_that_are_not_evidence_are_refused_without_being_repeated(tmp_path: Path) -> None:
    export = tmp_path / "log.jsonl"
    export.touch()
    secret = "PRIVATE+KEY+in+the+wrong+place"
    (tmp_path / "note").write_text("not a note")
    wrong: list[tuple[str | Path, ...]] = [
        ("--key", secret),
        ("--key", str(Signer("w", 1, COSIGNATURE).key)),
        ("--witness", str(Signer("w", 1).key)),
        ("--checkpoint", tmp_path / "note"),
        ("--checkpoint", tmp_path / "absent"),
        ("--expect", secret),
        ("--require-anchor-age", secret),
        *(("--jobs", number) for number in ("0", "257", "-1", "9" * 5000, secret)),
    ]
    for arguments in wrong:
        status, found = standalone.run(export, *arguments)
        assert status == 2
        assert arguments[0] in found["message"]
        assert secret not in found["message"]


@pytest.mark.holds("audit:standalone")
async def test_a_store_is_not_taken_for_an_export(path: Path) -> None:
    await story(path)
    status, found = standalone.run(path)
    assert status == 2
    assert "audit export" in found["message"]
    status, found = standalone.run(path.with_name("absent"))
    assert status == 8
    assert "No such file" in found["message"]


@pytest.mark.holds("audit:anchor-age")
async def test_an_acknowledgement_can_be_required_to_be_recent(path: Path, tmp_path: Path) -> None:
    from mcp_guard.audit.statements import Statement, Trust
    from mcp_guard.audit.verify import Fresh, verify_signature

    origin = await story(path)
    log = lines(path)
    signer, witness = Signer(origin, 1), Signer("witness.example/1", 2, COSIGNATURE)
    stranger = Signer("stranger.example/1", 3, COSIGNATURE)
    now = 1_800_000_000
    old = witness.sign(checkpoint(log, origin, signer, 5), now - 7200)
    forged = stranger.sign(checkpoint(log, origin, signer, 12), now)
    trust = Trust(verify_signature, (signer.key,), (witness.key,))
    shown = tuple(Statement.parse(note.format()) for note in (old, forged))
    for age, ok in ((7200, True), (7199, False)):
        report = verify(path, evidence=Evidence(statements=shown, trust=trust, fresh=Fresh(age, now)))
        assert report.ok == ok
        assert report.anchored == 5, "only whom we trust counts"
        assert (report.records, report.signed) == (12, 12), "an old acknowledgement says nothing against a record"
        assert report.error is None or (report.error.n, "7200 s ago" in report.error.what) == (5, True)
    never = verify(path, evidence=Evidence(trust=trust, fresh=Fresh(7200, now)))
    assert never.error is not None
    assert "never" in never.error.what
