"""The lock file is that of this tree, and its trails say of every step why keys moved or numbers did not."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path

import kdharness_plugins
import lock
import pytest

from kdharness.registry.kinds import KINDS
from kdharness.registry.lock import Lock, Step
from kdharness.registry.manager import Registry


@pytest.fixture(scope="module")
def now() -> dict[str, Step]:
    return lock.current()


def test_the_lock_is_that_of_the_tree(now: dict[str, Step]) -> None:
    """After an edit of a built-in: raise its revision or not, then `python tests/golden/lock.py update`."""
    assert lock.differences(Lock.read(lock.PATH), now) == []


def test_every_step_raises_the_revision_or_says_why_numbers_are_unchanged() -> None:
    for name, trail in Lock.read(lock.PATH).trails.items():
        for before, after in itertools.pairwise(trail):
            assert after.revision > before.revision or after.unchanged.strip(), (name, after)


def test_a_built_in_is_known_by_the_file_that_registers_it() -> None:
    """Its digest begins there, so that what the spec says is in it; the rest is what that file imports."""
    registry = Registry.load()
    for kind in (kind for kind in KINDS.values() if hasattr(kind.spec, "revision")):
        for path in sorted((lock.PATH.parent / kind.plural).glob("[!_]*.py")):
            module = importlib.import_module(f"{kdharness_plugins.__name__}.{kind.plural}.{path.stem}")
            for spec in getattr(module, kind.hook)():
                file = Path(registry.get(kind.name, spec.name).source.file)
                assert file.resolve() == path.resolve(), spec.name


# -- the command -------------------------------------------------------------------------------------------------------

OLD = Lock(
    {}, {"method at": (Step(1, "aa"),), "method kd": (Step(1, "k0"), Step(2, "kk")), "method gone": (Step(5, "g"),)}
)


def test_what_is_equal_is_kept() -> None:
    same = {"method at": Step(1, "aa"), "method kd": Step(2, "kk")}
    assert lock.updated(OLD, same, "") == lock.updated(OLD, same, "why") == OLD.trails
    assert lock.differences(OLD, same) == []


def test_a_raised_revision_and_a_new_plugin_need_no_word() -> None:
    raised = {"method at": Step(2, "bb"), "method kd": Step(3, "kk"), "method new": Step(1, "n")}
    found = lock.updated(OLD, raised, "why")
    assert found["method at"] == (Step(1, "aa"), Step(2, "bb"))
    assert found["method kd"] == (Step(1, "k0"), Step(2, "kk"), Step(3, "kk"))
    assert found["method new"] == (Step(1, "n"),)
    assert found["method gone"] == OLD.trails["method gone"]
    assert [line.partition(":")[0] for line in lock.differences(OLD, raised)] == [
        "method at",
        "method kd",
        "method new",
    ]


@pytest.mark.parametrize("step", [Step(1, "bb"), Step(0, "aa"), Step(0, "bb")])
def test_code_that_moves_under_its_revision_needs_a_word(step: Step) -> None:
    with pytest.raises(SystemExit, match="method at: its code is not the locked one; raise its revision"):
        lock.updated(OLD, {"method at": step, "method kd": Step(2, "kk")}, "")


def test_a_word_holds_for_all_that_moved_or_for_those_named() -> None:
    both = {"method at": Step(1, "bb"), "method kd": Step(2, "ll")}
    found = lock.updated(OLD, both, "renamed")
    assert [found[name][-1] for name in both] == [Step(1, "bb", "renamed"), Step(2, "ll", "renamed")]
    with pytest.raises(SystemExit) as caught:
        lock.updated(OLD, both, "renamed", ["method at"])
    assert "method kd" in str(caught.value)
    assert "method at" not in str(caught.value)


def test_a_plugin_that_comes_back_goes_on_from_its_revision() -> None:
    with pytest.raises(SystemExit, match="method gone"):
        lock.updated(OLD, {"method gone": Step(1, "other")}, "")
    assert lock.updated(OLD, {"method gone": Step(6, "other")}, "")["method gone"][-1] == Step(6, "other")
