"""plugins/README.md on checks: its example runs under pytest, its table names every check."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from kdharness.testing import label_checks, replay, step_checks, taken_back, training_checks

README = (Path(__file__).parents[2] / "plugins" / "README.md").read_text(encoding="utf-8")
SECTION = README.split("\n## Checking a method\n")[1].split("\n## ")[0]


def python_in(text: str) -> str:
    """The first example."""
    found = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_table_names_every_check() -> None:
    told = re.findall(r"^\| `(check_\w+)` \|", SECTION, re.MULTILINE)
    rooms = (label_checks, step_checks, replay, taken_back, training_checks)
    have = [name for room in rooms for name in vars(room) if name.startswith("check_")]
    assert sorted(told) == sorted(have)


def test_the_example_passes_and_a_method_that_breaks_a_promise_does_not(tmp_path: Path) -> None:
    method = python_in(README)
    (tmp_path / "logit_distance.py").write_text(method)
    (tmp_path / "test_logit_distance.py").write_text(python_in(SECTION))
    (tmp_path / "rude_distance.py").write_text(method.replace("self.weight * ", "float(student.logits.sum()) * "))
    rude = python_in(SECTION).replace("logit_distance", "rude_distance")
    expected = "[MethodSpec.of(LogitDistance)], {'logit_distance': {'check_plan_is_repeatable': 'it is repeatable'}}"
    (tmp_path / "test_rude_distance.py").write_text(rude.replace("[MethodSpec.of(LogitDistance)]", expected))
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    ended = _ended(done.stdout)
    assert {name for name, how in ended.items() if name.startswith("test_logit") and how != "PASSED"} == set()
    # Some versions of torch skip the fake accelerator.
    assert {name.partition("-")[2] for name, how in ended.items() if how == "FAILED" and "fake" not in name} == {
        "check_plan_is_repeatable]",  # it was expected to fail, and passed
        "check_mixed_labels_are_read_as_declared]",
        "check_no_read_back_in_a_step]",
        "check_step_can_be_replayed]",
        "check_rehearsal_of_the_whole_step_on_meta]",
    }


def _ended(output: str) -> dict[str, str]:
    """How each test ended, by its name."""
    return {name: how for how, name in re.findall(r"^(PASSED|FAILED) \S+::(test_\S+)", output, re.MULTILINE)}
