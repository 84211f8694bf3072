"""What of a file counts, and that all versions of Python count the same."""

from __future__ import annotations

import pytest

from kdharness.registry.syntax import syntax_of

# Every kind of syntax whose tree has differed between versions, or may.
EVERYTHING = '''
"""Words."""
from __future__ import annotations
import os.path as p, sys
from ..near import thing as other, more
@p.wraps(1)
class A(B, metaclass=C):
    """Words."""
    x: int = 10**30
    y = 0x1F, 1e-5, 1e400, 2j, b"\\x00\\xff", u"text", "caf\\u00e9\\U0001f600", ..., None, True, -1.0
    async def f(self, a, /, b: "int" = 1, *c, d, e=2, **g) -> None:
        """Words."""
        async with a as b, c: await d
        async for i in a: yield i
        return
def h(x, *y):
    global z
    try:
        del x.a, x[1:2, ...], x[*y]
    except* (E, F) as e:
        raise G from e
    match x:
        case {"a": [1, *rest], **others} | A(b=2) if (n := 3): assert n, "why"
        case None | -1 | "s": pass
        case _: nonlocal_ = lambda a=1, *b: (yield)
    f"a{x}b" "c" f"{x!r:>{y}}" f"{x=}" f"" f"{x:}" rf"\\d{x:%Y-%m}{{}}"
    [i async for i in x if i], {**x, 1: 2}, {i: j for i, j in x}, {*x}
    x @= y if z else not w; x <<= 1
    while a < b <= c is not d not in e: break
    else: continue
'''


def tree(text: str) -> str:
    return syntax_of(text.encode(), "pack.room.mine").tree


def test_the_digest_is_the_same_on_every_python() -> None:
    """The lock file's digests were made on one of them."""
    found = syntax_of(EVERYTHING.encode(), "pack.room.mine")
    assert found.tree == "dc1c3e54c3ac3e4c"
    assert found.imports == (
        "__future__",
        "__future__.annotations",
        "os.path",
        "pack.near",
        "pack.near.more",
        "pack.near.thing",
        "sys",
    )


PLAIN = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    "same",
    [
        "# why\n\n\ndef f(x):  # so\n\n    return (x +\n        1)",
        'def f(x):\n    """Words."""\n    return x + 1\n',
        '"""Words."""\ndef f(x):\n    return x + 1\n',
        "\ufeffdef f(x):\r\n\treturn x+0x1\r\n",
    ],
)
def test_layout_comments_and_docstrings_do_not_count(same: str) -> None:
    assert tree(same) == tree(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    return x + 2\n",
        "def f(x):\n    return x + 1.0\n",
        "def f(x):\n    return x + True\n",
        "def f(x):\n    return x - 1\n",
        "def f(y):\n    return y + 1\n",
        "def f(x, *, z=None):\n    return x + 1\n",
        "def f(x: int):\n    return x + 1\n",
        "def f(x):\n    'a'\n    'b'\n    return x + 1\n",
        "def f(x):\n    return x + 1\nf = 2\n",
        "async def f(x):\n    return x + 1\n",
    ],
)
def test_what_is_done_counts(other: str) -> None:
    assert tree(other) != tree(PLAIN)


def test_neighbours_are_told_apart() -> None:
    texts = ["f('a', 'b')", "f('a,b')", "f(['a'], 'b')", "f('a')('b')", "f(f'a{b}')", "f(f'a' + b)", "f(a=None)", "f()"]
    assert len(set(map(tree, texts))) == len(texts)
    assert tree("f'a{x}' 'b'") == tree("f'a{x}b'")


def test_what_is_no_python_is_its_bytes() -> None:
    broken = syntax_of(b"def f(:", "a")
    assert broken.imports == ()
    assert broken.tree != syntax_of(b"def g(:", "a").tree
    assert syntax_of(b"x = '\0'", "a").imports == ()


def test_imports_are_absolute_names() -> None:
    text = b"from . import a\nfrom .b import c\nfrom .. import d\nif x:\n    import e.f as g\n"
    assert syntax_of(text, "pack.room.mine").imports == (
        "e.f",
        "pack",
        "pack.d",
        "pack.room",
        "pack.room.a",
        "pack.room.b",
        "pack.room.b.c",
    )
    assert syntax_of(b"from . import a", "pack.room", is_package=True).imports == ("pack.room", "pack.room.a")
