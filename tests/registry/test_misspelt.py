"""Names in a method's class that are nearly those of a Method are told; so is why a file gave nothing."""

from __future__ import annotations

import pytest

from kdharness.cli.main import execute
from kdharness.registry.manager import Registry

METHOD = """
from kdharness.api import Method, MethodSpec, hookimpl

def outside(method):
    return method.predict

class Mine(Method):
    name = "mine"
    phase: int = 3
    helper = 3
{lines}
    def loss(self, batch, student):
        return batch.task_loss(student.logits)

    def predict(self):
        return 0

    def losses(self, batch, student, teacher):
        return {{"ce": self.loss(batch, student)}}

{mark}
def {hook}():
    return [MethodSpec.of(Mine)]
"""


def text(*lines: str, mark: str = "@hookimpl", hook: str = "kdharness_methods") -> str:
    return METHOD.format(lines="\n".join(f"    {line}" for line in lines), mark=mark, hook=hook)


@pytest.mark.parametrize(
    ("line", "name", "meant"),
    [
        ("def after_stp(self, batch, student, teacher): ...", "after_stp", "after_step"),
        ("def reqires(self, pair): return []", "reqires", "requires"),
        ("def beforeEpoch(self, epoch): ...", "beforeEpoch", "before_epoch"),
        ("mixed_label = 'mix'", "mixed_label", "mixed_labels"),
        ("read = None", "read", "reads"),
        ("private_teachers = True", "private_teachers", "private_teacher"),
        ("need_scenario = 'noise40'", "need_scenario", "needs_scenario"),
    ],
)
def test_a_name_that_is_nearly_a_method_s_is_told_once(write, line: str, name: str, meant: str) -> None:
    registry = Registry.load([write("mine.py", text(line))])
    assert "mine" in registry.methods
    assert "mine" in registry.methods
    (warning,) = registry.warnings
    assert warning.startswith("method 'mine' of ")
    assert warning.endswith(f"mine.py: nothing calls or reads '{name}' (did you mean '{meant}'?)")


def test_what_the_class_calls_itself_and_its_parameters_are_its_own(write) -> None:
    registry = Registry.load([write("mine.py", text())])
    assert "mine" in registry.methods
    assert registry.warnings == ()


def test_no_built_in_has_such_a_name() -> None:
    registry = Registry.load()
    assert registry.methods
    assert registry.warnings == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mark": ""}, "kdharness_methods is without @hookimpl, and is not called"),
        ({"hook": "kdharness_method"}, "there is no hook 'kdharness_method'; did you mean 'kdharness_methods'?"),
        ({"hook": "methods", "mark": ""}, "implements no hook"),
    ],
)
@pytest.mark.parametrize("command", [["run", "--methods", "mine", "--dry-run"], ["list", "methods"]])
def test_why_a_file_gave_nothing_is_said(
    write, capsys: pytest.CaptureFixture[str], changes: dict[str, str], says: str, command: list[str]
) -> None:
    execute([*command, "--plugin", str(write("mine.py", text(**changes)))])
    captured = capsys.readouterr()
    lines = [line for line in (captured.out + captured.err).splitlines() if says in line]
    assert len(lines) == 1
    assert "mine.py" in lines[0]
