"""Which cells saw private images, and which hold what such cells learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdharness.testing import Lab

PLUGIN = """
from kdharness.api import Method, MethodSpec, Requirement, hookimpl

class Copying(Method):
    name = "copying"
    private_teacher = True

    def losses(self, batch, student, teacher):
        return {"ce": batch.task_loss(student.logits) + 0 * teacher.logits.sum()}

class Starting(Method):
    name = "starting"

    def requires(self, pair):
        return [*super().requires(pair), Requirement(pair.student, warm_start=True)]

    def losses(self, batch, student, teacher):
        return {"ce": batch.task_loss(student.logits) + 0 * teacher.logits.sum()}

class Careful(Starting):
    name = "careful"

    def requires(self, pair):
        return [Requirement(name, subset="public") for name in pair.teachers]

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(each) for each in (Copying, Starting, Careful)]
"""


def test_which_cells_are_sheltered(make_lab: Any, tmp_path: Path) -> None:
    (tmp_path / "holders.py").write_text(PLUGIN)
    lab: Lab = make_lab(plugin_files=(tmp_path / "holders.py",))
    chosen = {"methods": ("vanilla", "kd", "copying", "starting", "careful", "takd"), "pairs": ("conv32:conv16",)}
    settings = ("takd.assistant=conv8",)
    split = lab.plan(scenarios=("split80",), settings=settings, **chosen)
    found = {(p.cell.role, p.cell.method, p.cell.document["subset"]): p.cell for p in split.cells}
    sheltered = {name for name, cell in found.items() if cell.sheltered}
    assert sheltered == {
        ("teacher", "vanilla", "teacher"),
        ("student", "copying", "train"),
        ("student", "starting", "train"),
    }
    assert ("teacher", "vanilla", "public") in found
    assert ("step", "kd", "train") in found
    clean = lab.plan(scenarios=("few100",), settings=settings, **chosen)
    assert not any(p.cell.sheltered or p.cell.saw_private or p.cell.has_private_images for p in clean.cells)
