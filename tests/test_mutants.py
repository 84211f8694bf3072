"""The tool that plants mistakes: what it plants, where it does not, and that every module has tests to run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from kdharness_benchmarks import mutants

SOURCE = '''"""Not 1 of these."""
import os


def f(a: int = 2, b: float = 0.5) -> float:
    if a < 3 and not b:
        raise ValueError(f"{a + 1} is too small")
    total = g(a, b, size=4) - max(a, b)
    total += 1
    return total.mean() if a else -total
'''
PLANTED = {
    ("constant", "2", "3"), ("constant", "0.5", "1.0"), ("constant", "3", "4"), ("constant", "4", "5"),
    ("constant", "1", "2"), ("comparison", "a < 3", "a <= 3"), ("boolean", "a < 3 and not b", "(a < 3 or not b)"),
    ("boolean", "not b", "(b)"), ("branches", "a < 3 and not b", "not (a < 3 and not b)"),
    ("statement", 'raise ValueError(f"{a + 1} is too small")', "pass"),
    ("arithmetic", "g(a, b, size=4) - max(a, b)", "(g(a, b, size=4) + max(a, b))"),
    ("arguments", "g(a, b, size=4)", "g(b, a, size=4)"), ("keyword", "g(a, b, size=4)", "g(a, b)"),
    ("statement", "total += 1", "pass"), ("arithmetic", "total += 1", "total -= 1"),
    ("reduction", "total.mean", "total.sum"), ("sign", "-total", "total"),
    ("branches", "total.mean() if a else -total", "-total if a else total.mean()"),
}  # fmt: skip


def test_what_is_planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in docstrings, annotations and messages, nor where the order of arguments says nothing."""
    (tmp_path / "module.py").write_text(SOURCE)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    found = mutants.mutants_of("module.py")
    assert {(m.kind, m.before, m.after) for m in found} == PLANTED
    for mutant in found:
        source = SOURCE.encode()
        assert source[mutant.start : mutant.end].decode() == mutant.before
        ast.parse(source[: mutant.start] + mutant.after.encode() + source[mutant.end :])


@pytest.mark.parametrize("room", mutants.ROOMS)
def test_every_module_of_a_room_has_tests(room: str) -> None:
    modules = mutants.modules_of(room)
    assert modules
    for module in modules:
        tests = mutants.mirror(module)
        assert tests, module
        assert all((mutants.ROOT / test).exists() for test in tests), module
    paths = [mutants.ROOT / path for path in mutants.ELSEWHERE]
    assert all(path.exists() for path in paths)


def test_a_sample_is_drawn_by_its_seed() -> None:
    modules = mutants.modules_of("stats")[:4]
    first, again, other = (mutants.sample(modules, 10, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len({(m.path, m.line) for m in first}) == 10
