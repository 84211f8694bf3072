"""`--plugin FILE`: one file with the same hooks."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import pytest

from kdharness.errors import UserError
from kdharness.registry.manager import Registry

PLUGINS = Path(__file__).parents[1] / "plugins_for_tests"

RICH = """
from __future__ import annotations
import dataclasses
from kdharness.api import Method, MethodSpec, hookimpl

@dataclasses.dataclass
class Setting:
    size: int = 3

class InFile(Method):
    name = "in_file"
    sizes: tuple[int, ...] = (1, 2)

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(InFile)]
"""


def test_a_method_in_a_file(write):
    path = write("my plugin.py", RICH)
    registered = Registry.load([path]).get("method", "in_file")
    assert registered.spec.parameters[0].default == (1, 2)  # annotations as text were resolved in the file's own module
    assert (registered.source.kind, registered.source.file) == ("file", str(path))
    assert not list(path.parent.glob("__pycache__"))


def test_its_objects_can_be_pickled(write):
    module = sys.modules[Registry.load([write("p.py", RICH)]).methods["in_file"].source.module]
    assert pickle.loads(pickle.dumps(module.Setting(5))) == module.Setting(5)


def test_the_same_file_twice_is_loaded_once(write, monkeypatch):
    path = write("p.py", RICH)
    monkeypatch.chdir(path.parent)
    assert "in_file" in Registry.load([path, Path("p.py")]).methods


def test_two_files_of_one_name_are_two_plugins(tmp_path, write):
    other = tmp_path / "other"
    other.mkdir()
    (other / "p.py").write_text(RICH.replace("in_file", "in_other"))
    assert {"in_file", "in_other"} <= set(Registry.load([write("p.py", RICH), other / "p.py"]).methods)


def test_an_edit_of_equal_length_and_time_is_seen(write):
    path = write("p.py", RICH)
    before = path.stat()
    assert "in_file" in Registry.load([path]).methods
    path.write_text(RICH.replace("in_file", "in_life"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "in_life" in Registry.load([path]).methods


def test_two_files_that_claim_one_name(write):
    registry = Registry.load([write("a.py", RICH), write("b.py", RICH)])
    with pytest.raises(UserError, match=r"'in_file' is claimed twice, by \S*a\.py and by \S*b\.py"):
        registry.get("method", "in_file")


def test_a_file_that_claims_a_built_in_name():
    registry = Registry.load([PLUGINS / "claims_taken_name.py"])
    with pytest.raises(UserError, match=r"by kdharness \S+ \(\S*kd\.py\) and by \S*claims_taken_name\.py"):
        registry.get("method", "kd")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.py", None, r"missing\.py: no such file or directory"),
        ("notes.txt", "x", r"notes\.txt: not a Python file \(\.py\)"),
        ("faulty.py", "x = 1\ny = (", r"faulty\.py:2: SyntaxError: .*"),
        ("faulty.py", "def f():\n    1 / 0\n\nf()\n", r"faulty\.py:2: ZeroDivisionError: division by zero"),
        ("faulty.py", "import sys\nsys.exit('no')", r"faulty\.py:2: SystemExit: no"),
        ("faulty.py", "raise ValueError('a\\nb')", r"faulty\.py:1: ValueError: a b"),
    ],
)
def test_a_file_that_does_not_load_is_the_users_error_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    before = set(sys.modules)
    with pytest.raises(UserError, match=rf"^--plugin [^\n]*{message}$"):
        Registry.load([path])
    assert not [m for m in set(sys.modules) - before if m.startswith("kdharness_plugin_faulty")]


def test_a_folder_is_no_file(tmp_path):
    folder = tmp_path / "folder.py"
    folder.mkdir()
    with pytest.raises(UserError, match="is a directory"):
        Registry.load([folder])


def test_a_hook_that_raises_is_broken_and_told():
    registry = Registry.load([PLUGINS / "hook_raises.py"])
    assert "always_one" in registry.metrics
    assert "kd" in registry.methods
    assert "RuntimeError: the hook's own fault" in registry.warnings[0]


@pytest.mark.parametrize("name", ["raises_in_step_3", "returns_nan", "wrong_shape", "in_place_writer"])
def test_the_files_that_fail_in_training_load(name):
    assert name in Registry.load([PLUGINS / f"{name}.py"]).methods
