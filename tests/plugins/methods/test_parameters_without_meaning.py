"""Values without meaning are refused when the plan is made, methods that tell nothing on two classes skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from kdharness_plugins.methods.lskd import lskd_loss

from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.protocol.benchmark import parse
from kdharness.registry.manager import Registry
from kdharness.testing import Lab

METHODS = Registry.load().methods
FLOATS = [
    (name, parameter.name)
    for name, found in METHODS.items()
    for parameter in found.spec.parameters
    if parameter.type_name.partition(" ")[0] == "float"
]


@pytest.mark.parametrize(("method", "name"), FLOATS)
@pytest.mark.parametrize("value", ["-1", "-0.001", "inf", "nan"])
def test_no_number_of_a_built_in_method_is_negative_or_endless(method: str, name: str, value: str) -> None:
    parameter = next(p for p in METHODS[method].spec.parameters if p.name == name)
    with pytest.raises(ValueError, match="not a valid float"):
        parameter.coerce(value)


@pytest.mark.parametrize(("method", "name"), [pair for pair in FLOATS if pair[1] == "temperature"])
def test_no_temperature_is_zero(method: str, name: str, make_lab: Callable[..., Lab]) -> None:
    with pytest.raises(UserError, match="temperature"):
        make_lab().plan(methods=(method,), settings=(f"{method}.temperature=0",))


REGISTRY = Registry.load()
OTHER_FLOATS = [
    (kind, name, parameter.name)
    for kind in ("model", "optimizer")
    for name, found in REGISTRY.of(kind).items()
    for parameter in found.spec.parameters
    if parameter.type_name == "float"
]


@pytest.mark.parametrize(("kind", "owner", "name"), OTHER_FLOATS)
@pytest.mark.parametrize("value", ["-1", "-0.001", "inf", "nan"])
def test_nor_one_of_a_built_in_model_or_optimiser(kind: str, owner: str, name: str, value: str) -> None:
    parameter = next(p for p in REGISTRY.get(kind, owner).spec.parameters if p.name == name)
    with pytest.raises(ValueError, match="not a valid float"):
        parameter.coerce(value)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("recipe.milestones=150,180", "milestones"),
        ("recipe.milestones=-0.5", "milestones"),
        ("recipe.lr=inf", "lr"),
        ("adam.eps=inf", "eps"),
        ("adam.betas=0.9,1", "betas"),
        ("dot.delta=0.5", "delta"),
        ("vit_tiny.drop_path=1", "drop_path"),
    ],
)
def test_a_value_without_meaning_is_one_line_when_planned(
    setting: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["run", "--methods", "kd", "--dry-run", "--set", setting, "--out", "/nowhere"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


TWO_CLASSES = """
import numpy as np
from kdharness.api import DatasetInfo, DatasetSpec, ImageDataset, Split, hookimpl

def split(samples, seed):
    images = np.random.default_rng(seed).integers(0, 255, (samples, 1, 8, 8), dtype=np.uint8)
    return Split(images, np.arange(samples) % CLASSES)

def load(request):
    names = tuple(f"class {number}" for number in range(CLASSES))
    return ImageDataset({"train": split(60, 0), "test": split(20, 1)}, names, mean=(0.5,), std=(0.3,))

@hookimpl
def kdharness_datasets():
    yield DatasetSpec("small", lambda request: DatasetInfo(f"small-{CLASSES}", CLASSES, (1, 8, 8), 60), load)
"""


@pytest.mark.parametrize(
    ("method", "settings", "skipped_on_two"),
    [("lskd", (), True), ("dist", (), False), ("dist", ("dist.gamma=0",), True), ("kd", (), False)],
)
@pytest.mark.parametrize("classes", [2, 3])
def test_what_tells_nothing_on_two_classes_is_skipped_in_a_plan(
    make_lab: Callable[..., Lab],
    tmp_path: Path,
    method: str,
    settings: tuple[str, ...],
    skipped_on_two: bool,
    classes: int,
) -> None:
    file = tmp_path / "small.py"
    file.write_text(f"CLASSES = {classes}\n{TWO_CLASSES}")
    content = {"name": "two", "datasets": ["small"], "pairs": ["conv16:conv4"], "seeds": [0], "recipe": {"epochs": 1}}
    lab = make_lab(plugin_files=(file,))
    plan = lab.plan(parse(content, "two.toml"), methods=(method,), settings=settings)
    (reason,) = (p.skip for p in plan.cells if p.cell.method == method)
    assert ("tell nothing" in reason) == (skipped_on_two and classes == 2), reason


@pytest.mark.parametrize("gap", [0.5, 3.0])
def test_standardised_logits_of_two_classes_are_all_alike(gap: float) -> None:
    """Why they are skipped: the loss is 0 whatever lies between the two logits."""
    student = torch.tensor([[0.0, gap]])
    assert float(lskd_loss(student, torch.tensor([[0.0, 7.0]]), 2.0)) == pytest.approx(0.0, abs=1e-6)
