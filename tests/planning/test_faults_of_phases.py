"""What is wrong with a method's phases is told when a plan is made, where they can be told by then."""

from __future__ import annotations

import pytest
from torch import nn

from kdharness.api import Phase, Player
from kdharness.planning.phases import phase_faults

METHOD = """
from kdharness.api import Method, MethodSpec, Phase, Player, hookimpl


class Bad(Method):
    \"\"\"Its phases are wrong.\"\"\"
    name = "bad"
    kind: str = "mixes"

    def phases(self):
        return {
            "mixes": [Phase("one", recipe={"mixup": 1.0})],
            "part": [Phase("one", players=(Player(parts=("student.network.stage1",)),))],
            "long": [Phase("a", fraction=0.5), Phase("b", fraction=0.8)],
            "good": [Phase("a", fraction=0.3), Phase("b", fraction=0.7)],
        }[self.kind]

    def losses(self, batch, student, teacher):
        return {"ce": batch.task_loss(student.logits)}


@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Bad)]
"""


def network() -> nn.Module:
    net = nn.Sequential()
    net.add_module("stem", nn.Conv2d(1, 2, 3))
    net.add_module("relu", nn.ReLU())
    return net


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (("student",), None),
        (("student.stem", "method.regressor"), None),
        (("student.stem.weight",), None),
        (("student.relu", "method.regressor"), None),
        ((), None),
        (("student.network.stem",), "names the part 'student.network.stem', which does not exist; did you mean 'stud"),
        (("student.stm",), "did you mean 'student.stem'"),
        (("student.relu",), "phase 'hint' trains nothing: 'student.relu' has no parameters"),
        ("student.stem", "is a text; it is a tuple of paths: ('student.stem',)"),
    ],
)
def test_parts_are_paths_in_the_plain_network(parts: tuple[str, ...], says: str | None) -> None:
    found = list(phase_faults(Phase("hint", players=(Player("main", parts=parts),)), network()))
    assert len(found) == (says is not None)
    assert says is None or says in found[0]


def test_fields_of_the_recipe_are_those_that_can_be_replaced() -> None:
    player = Player("main", optimizer={"batch_size": 3, "delta": 1.0, "momentum": 0.5})
    found = list(phase_faults(Phase("one", recipe={"schedul": "cosine", "mixup": 0.1}, players=(player,)), network()))
    assert "phase 'one' replaces 'schedul' of the recipe, which it cannot; did you mean 'schedule'?" in found
    assert any(line.startswith("player 'main' of phase 'one' replaces 'batch_size'") for line in found)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("kind", "skip", "warning"),
    [
        ("mixes", "phase 'one' mixes images (mixup = 1), for which 'bad' is not defined", ""),
        ("part", "the part 'student.network.stage1', which does not exist; did you mean 'student.stage1'", ""),
        (
            "long",
            "",
            "trains for 1.3 of the recipe's epochs: the fractions of its phases are a 0.5, b 0.8",
        ),
        ("good", "", ""),
    ],
)
def test_a_plan_tells_them(make_lab, tmp_path, kind: str, skip: str, warning: str) -> None:
    file = tmp_path / "bad.py"
    file.write_text(METHOD)
    lab = make_lab("world", plugin_files=(file,))
    plan = lab.plan(methods=("bad",), scenarios=("few100",), settings=(f"bad.kind={kind}",))
    (student,) = (p for p in plan.cells if p.cell.role == "student")
    assert skip in student.skip
    assert bool(student.skip) == bool(skip)
    lines = [line for line in plan.warnings if "method 'bad'" in line]
    assert len(lines) == bool(warning)
    assert all(line.endswith(warning) for line in lines)
