"""plugins/README.md tells the truth: its headings are the hooks, its tables the interface, its examples run."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kdharness.api import Batch, Method, Reads, StepInfo
from kdharness.registry import hookspecs
from kdharness.registry.kinds import KINDS
from kdharness.registry.manager import HOOKS, Registry

README = (Path(__file__).parents[2] / "plugins" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
FILES = [block for block in BLOCKS if "__name__" not in block and "def test_" not in block]


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def table_names(text: str, title: str) -> list[str]:
    """The code names in the first column of the table whose first heading is `title`."""
    table = text.split(f"| {title} |")[1].split("\n\n")[0]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def test_every_hook_has_a_heading_with_its_signature():
    signatures = []
    for hook in HOOKS:
        names = inspect.signature(getattr(hookspecs, hook)).parameters
        signatures.append(f"{hook}({', '.join(names)})")
    assert re.findall(r"^### (.*)$", section("Hooks"), re.MULTILINE) == signatures


def test_every_hook_says_what_it_is_for():
    assert all(inspect.getdoc(getattr(hookspecs, hook)) for hook in HOOKS)


def test_the_tables_hold_the_whole_interface_of_a_method():
    text = section("The interface of a method")
    own = {name: value for name, value in vars(Method).items() if not name.startswith("_")}
    methods = [
        f"{name}({', '.join(list(inspect.signature(f).parameters)[1:])})" for name, f in own.items() if callable(f)
    ]
    attributes = {name for name, value in own.items() if isinstance(value, property)} | set(Method.__annotations__)
    assert table_names(text, "method") == methods
    assert sorted(table_names(text, "attribute")) == sorted(attributes)
    assert table_names(text, "field") == [f.name for f in dataclasses.fields(Reads)]


def test_the_tutorial_s_method_is_listed(tmp_path):
    path = tmp_path / "logit_distance.py"
    path.write_text(BLOCKS[0])
    command = [sys.executable, "-m", "kdharness", "list", "methods", "--json", "--plugin", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (row,) = [row for row in json.loads(done.stdout) if row["name"] == "logit_distance"]
    assert row["file"] == str(path)
    assert [p["name"] for p in row["parameters"]] == ["weight", "centred"]
    assert done.stderr == ""


def test_the_tutorial_s_method_trains(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "logit_distance.py"
    path.write_text(BLOCKS[0])
    method = Registry.load([path]).get("method", "logit_distance").spec.factory(weight=2.0)

    class Given:
        def __init__(self, **values):
            vars(self).update(values)

    logits, images = torch.tensor([[1.0, 0.0]], requires_grad=True), torch.zeros(1, 3, 4, 4)
    batch = Batch(images, torch.tensor([0]), StepInfo("train", 0, 1, torch.tensor(0.5)), views=(images,))
    losses = method.losses(batch, Given(logits=logits), Given(logits=torch.tensor([[5.0, 4.0]])))
    assert set(losses) == set(method.terms)
    assert losses["distance"].item() == 0.0  # the same logits but for a constant
    sum(losses.values()).backward()
    assert logits.grad is not None


@pytest.mark.parametrize("block", FILES, ids=range(len(FILES)))
def test_every_example_is_a_sound_plugin(tmp_path, block):
    path = tmp_path / "example.py"
    path.write_text(block)
    registry = Registry.load([path])
    for kind in KINDS:
        registry.of(kind)
    assert registry.warnings == ()


def test_the_example_model_has_the_parts_it_declares(tmp_path):
    torch = pytest.importorskip("torch")
    from kdharness.api import StagedModel

    path = tmp_path / "model.py"
    path.write_text(next(block for block in FILES if "ModelSpec" in block))
    spec = Registry.load([path]).get("model", "tiny_example").spec
    model = StagedModel(spec.factory(10, (3, 8, 8)), spec, (3, 8, 8))
    outputs = model.run(torch.zeros(2, 3, 8, 8), ("stages", "pre_activations", "embedding"))
    assert outputs.logits.shape == (2, 10)
    assert [t.shape[1] for t in outputs.stages] == [8, 16]
    assert [t.shape for t in outputs.pre_activations] == [t.shape for t in outputs.stages]
    assert outputs.embedding.shape == (2, 16)
    assert len(model.norms) == 2


def test_the_example_dataset_loads(tmp_path):
    from kdharness.api import DataRequest

    path = tmp_path / "dataset.py"
    path.write_text(next(block for block in FILES if "DatasetSpec" in block))
    spec = Registry.load([path]).get("dataset", "stripes_example").spec
    info, data = spec.describe(DataRequest(tmp_path)), spec.load(DataRequest(tmp_path))
    assert data.splits["train"].images.shape == (info.train_size, *info.input_shape)


def test_the_example_view_makes_pictures(tmp_path):
    torch = pytest.importorskip("torch")
    from kdharness.api import Augmentation, ViewInfo

    path = tmp_path / "view.py"
    path.write_text(next(block for block in FILES if "ViewSpec" in block))
    spec = Registry.load([path]).get("view", "speckled").spec
    images = torch.full((3, 2, 4, 6), 9, dtype=torch.uint8)
    made = spec.apply(images, spec.draws(3, torch.Generator()), ViewInfo(Augmentation(flip=True), (4, 6)))
    assert (made == 0).flatten(1).sum(1).tolist() == [2, 2, 2]  # one place, in both channels


def test_every_name_of_the_api_that_is_told_of_exists():
    import kdharness.api
    import kdharness.testing

    told = re.findall(r"`([A-Z][A-Za-z]+)[`(.]", README.partition("\n## All fields\n")[0])  # types are in those
    public = {*dir(kdharness.api), *kdharness.api.__all__, *kdharness.testing.__all__}
    assert set(told) - public <= {"NAME", "None", "True", "False"}
