"""`within`: what is not plainly inside is outside."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.policy.functions.within import bind_within, within

ROOT = "/srv/projects"


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/srv/projects", ROOT),
        ("/srv/projects/", ROOT),
        ("/srv/projects/a/b.txt", ROOT),
        ("/srv//projects/./a", ROOT),
        ("/srv/projects/..a/b..", ROOT),
        ("/anything", "/"),
        ("C:\\Data\\x", "c:/data"),
        ("c:/data/x", "C:\\Data"),
        ("//Host/Share/x", "//host/share"),
        ("\\\\host\\share\\x", "//host/share"),
        ("/srv/projects/name with blank/ü", ROOT),
    ],
)
def test_inside(path: str, root: str) -> None:
    assert within(path, root)


@pytest.mark.holds("policy:functions-total")
@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("", ROOT),
        ("srv/projects/a", ROOT),
        ("~/a", ROOT),
        ("/srv/projectsX", ROOT),
        ("/srv", ROOT),
        ("/SRV/projects/a", ROOT),
        ("/srv/projects/../etc", ROOT),
        ("/srv/projects/a/../../../etc", ROOT),
        ("/srv/projects/a/..", ROOT),
        ("/srv/projects/.. /etc", ROOT),
        ("/srv/projects/.../etc", ROOT),
        ("/srv/projects\\..\\..\\etc", ROOT),
        ("/srv/projects\\a", ROOT),
        ("/srv/projects/%2e%2e/etc", ROOT),
        ("/srv/projects/..%2Fetc", ROOT),
        ("/srv/projects/a%5c..%5c", ROOT),
        ("/srv/projects/a\x00.txt", ROOT),
        ("/srv/projects/a\nb", ROOT),
        ("//srv/projects/a", ROOT),
        ("C:/data/x", "/data"),
        ("/data/x", "C:/data"),
        ("C:data", "C:/data"),
        ("D:/data/x", "C:/data"),
        ("C:/data/x:stream", "C:/data"),
        ("C:/data/../x", "C:/data"),
        ("C:\\data\\..\\x", "C:/data"),
        ("//?/C:/data/x", "C:/data"),
        ("C:/\N{KELVIN SIGN}ey", "C:/key"),
        ("/srv/projects/" + "a" * 40_000, ROOT),
    ],
)
def test_outside(path: str, root: str) -> None:
    assert not within(path, root)


@pytest.mark.parametrize("root", ["", "projects", "../x", "/srv/../etc", "C:", "//host", "/a\\b"])
def test_a_root_is_absolute_and_plain(root: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        bind_within(root)


@pytest.mark.parametrize("value", [None, 3, True, ["/srv"], {}])
def test_other_types_fail(value: object) -> None:
    with pytest.raises(TypeError):
        within(value, ROOT)
    with pytest.raises(TypeError):
        within(ROOT, value)


@given(st.lists(st.text(alphabet="ab./\\ %2e:", max_size=6), max_size=6).map("/".join))
@settings(deadline=None, max_examples=300)
def test_never_outside_once_resolved(tail: str) -> None:
    """Whatever is accepted stays in the root when `..` is resolved the POSIX way and the Windows way."""
    import ntpath
    import posixpath

    path = f"{ROOT}/{tail}"
    if within(path, ROOT):
        assert (posixpath.normpath(path) + "/").startswith(ROOT + "/")
        assert (ntpath.normpath(path).replace("\\", "/") + "/").startswith(ROOT + "/")
