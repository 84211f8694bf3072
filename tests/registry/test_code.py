"""The digest of a built-in covers its file and all that it imports of its package, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdharness.errors import UserError
from kdharness.registry import code as code_module
from kdharness.registry.code import PackageCode
from kdharness.registry.lock import FILE, Lock, Step

FILES = {
    "__init__.py": "",
    "methods/__init__.py": "x = 1\n",
    "methods/kd.py": "import torch\nfrom pack.methods._helper import help\n",
    "methods/at.py": "def f():\n    from . import _helper\n",
    "methods/alone.py": "import packaging, pack_other\n",
    "methods/_helper.py": "from .. import deep\nfrom . import kd\n",
    "methods/notes.txt": "",
    "deep/__init__.py": "y = 1\n",
}
EVERY = {"kd", "at", "alone"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def digests(root: Path) -> dict[str, str]:
    code = PackageCode("pack", root)
    return {name: code.digest(root / "methods" / f"{name}.py") for name in EVERY}


@pytest.mark.parametrize(
    ("file", "moved"),
    [
        ("methods/kd.py", {"kd", "at"}),
        ("methods/at.py", {"at"}),
        ("methods/alone.py", {"alone"}),
        ("methods/_helper.py", {"kd", "at"}),
        ("deep/__init__.py", {"kd", "at"}),
        ("methods/__init__.py", EVERY),
        ("methods/notes.txt", set()),
    ],
)
def test_an_edit_moves_those_that_run_it(root: Path, file: str, moved: set[str]) -> None:
    before = digests(root)
    assert len(set(before.values())) == 3
    with (root / file).open("a") as opened:
        opened.write("edited = 1\n")
    after = digests(root)
    assert {name for name in EVERY if before[name] != after[name]} == moved


def test_comments_move_nothing_and_neither_does_a_place(root: Path, tmp_path: Path) -> None:
    before = digests(root)
    (root / "methods" / "_helper.py").write_text('"""Words."""\n# why\n' + FILES["methods/_helper.py"])
    assert digests(root) == before
    (tmp_path / "link").symlink_to(root)
    assert digests(tmp_path / "link") == before
    assert digests(root.rename(tmp_path / "elsewhere")) == before


def write_lock(root: Path) -> None:
    code = PackageCode("pack", root)
    files = {name: code.file(name) for name in FILES if name.endswith(".py")}
    (root / FILE).write_text(Lock(files, {}).text)


def test_a_locked_file_is_not_parsed_and_an_edited_one_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests(root)
    write_lock(root)
    parsed: list[str] = []
    real = code_module.syntax_of

    def counted(content: bytes, module: str, is_package: bool) -> object:
        parsed.append(module)
        return real(content, module, is_package)

    monkeypatch.setattr(code_module, "syntax_of", counted)
    assert digests(root) == before
    assert parsed == []
    (root / "methods" / "kd.py").write_text("import torch\n")
    assert digests(root) != before
    assert parsed == ["pack.methods.kd"]


def test_a_lock_survives_the_way_to_disk(tmp_path: Path, root: Path) -> None:
    write_lock(root)
    files = Lock.read(root / FILE).files
    trails = {"method kd": (Step(1, "ab"), Step(1, "cd", 'words "quoted"'), Step(2, "ef")), "model é": (Step(1, "x"),)}
    lock = Lock(files, trails)
    (tmp_path / FILE).write_text(lock.text)
    assert Lock.read(tmp_path / FILE) == lock
    assert len(lock.text.splitlines()) == len(files) + 4 + 2 * len(trails) + 6
    assert lock.holds("method kd", Step(2, "ef"))
    for name, step in (("method kd", Step(1, "ab")), ("method kd", Step(3, "ef")), ("method at", Step(2, "ef"))):
        assert not lock.holds(name, step)


@pytest.mark.parametrize(
    "text", ["<<<<<<<", "[]", "{}", '{"files": {"a": 1}, "trails": {}}', '{"files": {}, "trails": {"m": [1]}}']
)
def test_what_is_no_lock_is_said_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match=r"lock\.json is not a lock file: \w+: .") as caught:
        Lock.read(tmp_path / FILE)
    assert "\n" not in str(caught.value)


def test_without_a_file_nothing_is_locked(tmp_path: Path) -> None:
    assert Lock.read(tmp_path / FILE) == Lock()
    assert json.loads(Lock().text) == {"files": {}, "trails": {}}
