"""Weights that networks begin with: files and published ones, their place in keys, and what does not fit."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from kdharness_plugins.models import torchvision_models

from kdharness.api import Pretrained, StagedModel
from kdharness.engine.world import World
from kdharness.errors import UserError
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.planning.pretrained import release_path
from kdharness.protocol.benchmark import parse
from kdharness.protocol.recipe import Recipe
from kdharness.testing import Lab

PLUGIN = """
from kdharness.api import ModelSpec, Preprocessing, Pretrained, hookimpl
from kdharness_plugins.models.small_conv import SmallConv

def published():
    larger = Preprocessing(mean=(0.4,), std=(0.2,), size=(12, 12), crop=(10, 10))
    return {
        "first": Pretrained("URL", larger, "SHA", lambda name: name.replace("classifier", "fc")),
        "damaged": Pretrained("URL", sha256="0123"),
        "lost": Pretrained("URL.lost"),
    }

@hookimpl
def kdharness_models():
    yield ModelSpec("begun", lambda c, s: SmallConv(c, s, 4), classifier="fc", stages=("stage1",), pretrained=published)
"""


def weights_of(lab: Lab, classes: int = 10) -> dict[str, torch.Tensor]:
    """Of a conv4 that was drawn from another seed."""
    torch.manual_seed(123)
    state: dict[str, torch.Tensor] = lab.registry.get("model", "conv4").spec.factory(classes, (1, 8, 8)).state_dict()
    return state


def plan_of(lab: Lab, models: dict[str, dict[str, Any]], pair: str = "conv8:conv4", **selection: Any) -> Plan:
    content = {"name": "small", "datasets": ["digits"], "pairs": [pair], "scenarios": ["few100"], "run": ["vanilla"]}
    recipe = {"epochs": 1, "batch_size": 50}
    benchmark = parse({**content, "run": ["vanilla", "dml"], "recipe": recipe, "models": models}, "test")
    return lab.plan(benchmark, **selection)


def cell_of(plan: Plan, method: str = "vanilla") -> Cell:
    return next(p.cell for p in plan.cells if p.cell.method == method)


def begun(lab: Lab, cell: Cell, download: bool = False) -> StagedModel:
    """The cell's student as it begins."""
    world = World(lab.registry, lab.folder, lab.path, lab.device, download)
    recipe = Recipe.model_validate(dict(cell.recipe))
    return world.networks.start(cell, cell.student, world.data.of(cell), "student", 0, recipe)


def has(model: StagedModel, state: dict[str, torch.Tensor], *but_for: str) -> bool:
    mine = model.network.state_dict()
    same = {name: torch.equal(mine[name], tensor) for name, tensor in state.items()}
    return all(equal != name.startswith(but_for or ("none",)) for name, equal in same.items() if "tracked" not in name)


def test_networks_begin_with_a_file(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": {f"module.{k}": v for k, v in weights_of(lab).items()}}, path)
    plain, plan = plan_of(lab, {}), plan_of(lab, {"conv4": {"weights": str(path), "lr": 0.05}})
    cell = cell_of(plan)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert cell.document["student"]["weights"] == {"sha256": digest}
    assert cell.key != cell_of(plain).key
    assert cell.protocol != cell_of(plain).protocol
    assert has(begun(lab, cell), weights_of(lab))
    assert not has(begun(lab, cell_of(plain)), weights_of(lab))
    records = lab.train([cell_of(plan, "dml")])  # whose peers begin with it too
    assert {r.status.value for r in records.values()} == {"ok"}, [r.traceback for r in records.values()]
    # Another place changes nothing, other contents do.
    moved = path.rename(tmp_path / "elsewhere.pt")
    assert cell_of(plan_of(lab, {"conv4": {"weights": str(moved)}})).key == cell.key
    torch.save(weights_of(lab), moved)
    assert cell_of(plan_of(lab, {"conv4": {"weights": str(moved)}})).key != cell.key


def test_the_command_line_says_the_same(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(weights_of(lab), path)
    cell = cell_of(plan_of(lab, {}, settings=(f"conv4.weights={path}",)))
    assert cell.key == cell_of(plan_of(lab, {"conv4": {"weights": str(path)}})).key
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert cell.deviations == f"recipe.epochs=2; conv4.weights=file {digest[:12]}"


def test_a_file_that_changed_since_is_refused(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(weights_of(lab), path)
    cell = cell_of(plan_of(lab, {"conv4": {"weights": str(path)}}))
    torch.save({}, path)
    with pytest.raises(UserError, match=f"weights file {path} is not the one that was planned with: sha256 "):
        begun(lab, cell)


def test_a_classifier_of_another_width(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(weights_of(lab, classes=7), path)
    cell = cell_of(plan_of(lab, {"conv4": {"weights": str(path)}}))
    record = lab.train([cell])[cell.key]
    assert record.error_message == (
        f"weights file {path} does not fit model 'conv4': 'fc.weight' is [7, 16], not [10, 16]; "
        "new_classifier = true leaves its classifier as it is drawn"
    )
    asked = cell_of(plan_of(lab, {"conv4": {"weights": str(path), "new_classifier": True}}))
    assert asked.document["student"]["weights"]["new_classifier"]
    model, drawn = begun(lab, asked), begun(lab, cell_of(plan_of(lab, {})))
    kept = {name: tensor for name, tensor in weights_of(lab, classes=7).items() if not name.startswith("fc")}
    assert has(model, kept)
    assert torch.equal(model.network.fc.weight, drawn.network.fc.weight)


def test_weights_that_are_not_there(lab: Lab) -> None:
    for weights, says in (
        ("nothing.pt", "weights of model 'conv4': file nothing.pt cannot be read: No such file or directory"),
        (
            "imagenet",
            "unknown file or published weights of model 'conv4' 'imagenet' (benchmark 'small'); there is none",
        ),
    ):
        with pytest.raises(UserError) as caught:
            plan_of(lab, {"conv4": {"weights": weights}})
        assert str(caught.value).startswith(says)


def test_a_teacher_from_a_file_goes_before(lab: Lab, tmp_path: Path) -> None:
    """Its weights are those of --teacher; what else is said of the model holds."""
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    torch.save(weights_of(lab), first)
    torch.save({name: tensor / 2 for name, tensor in weights_of(lab).items()}, second)
    models = {"conv4": {"weights": str(first)}}
    plan = plan_of(lab, models, "conv4:conv8", teachers=(str(second),), methods=("kd",))
    (cell,) = [p.cell for p in plan.cells]
    world = World(lab.registry, lab.folder, lab.path, lab.device, teacher_top1_floor=0)
    (teacher,) = world.teachers.of(cell, world.data.of(cell))
    assert has(teacher.model, torch.load(second))


# -- published weights -------------------------------------------------------------------------------------------------


@pytest.fixture
def publishing(make_lab, tmp_path: Path) -> Lab:
    """A lab with a model whose weights are published in a file, under another name of its classifier."""
    published, plugin = tmp_path / "begun-1.pth", tmp_path / "begun.py"
    state = weights_of(make_lab("other"))
    torch.save({name.replace("fc", "classifier"): tensor for name, tensor in state.items()}, published)
    sha = hashlib.sha256(published.read_bytes()).hexdigest()[:8]
    plugin.write_text(PLUGIN.replace("URL", published.as_uri()).replace("SHA", sha))
    return make_lab(plugin_files=(plugin,))


def release(lab: Lab, name: str, download: bool = True) -> Plan:
    return plan_of(lab, {"begun": {"weights": name}}, "conv8:begun", data_root=lab.path, download=download)


def test_published_weights_are_downloaded_where_that_is_allowed(publishing: Lab) -> None:
    with pytest.raises(UserError) as caught:
        release(publishing, "first", download=False)
    folder = publishing.path / "weights"
    assert str(caught.value).startswith(f"weights 'first' of model 'begun' are not there: {folder}/")
    assert "-begun-1.pth; --download gets them from file:///" in str(caught.value)
    cell = cell_of(release(publishing, "first"))
    assert cell.document["student"]["weights"] == {"release": "first"}
    with pytest.raises(UserError, match=r"are not there: .*; --download gets them from file:///"):
        begun(publishing, cell)
    model = begun(publishing, cell, download=True)
    assert has(model, weights_of(publishing))
    assert [path.name.partition("-")[2] for path in folder.iterdir()] == ["begun-1.pth"]
    assert cell_of(release(publishing, "first", download=False)).key == cell.key
    assert has(begun(publishing, cell), weights_of(publishing))


def test_they_bring_their_preprocessing(publishing: Lab) -> None:
    cell = cell_of(release(publishing, "first"))
    assert cell.document["student"]["preprocessing"]["size"] == [12, 12]
    model = begun(publishing, cell, download=True)
    assert model.input_shape == (1, 10, 10)
    assert model.run(torch.rand(2, 1, 8, 8), ("stages",)).stages[0].shape == (2, 4, 10, 10)
    records = publishing.train([cell_of(release(publishing, "first"), "dml")])
    assert {r.status.value for r in records.values()} == {"ok"}, [r.traceback for r in records.values()]


@pytest.mark.parametrize(("name", "says"), [("damaged", "invalid hash value"), ("lost", "cannot be downloaded: ")])
def test_a_download_that_fails_is_told_in_one_line(publishing: Lab, name: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        begun(publishing, cell_of(release(publishing, name)), download=True)
    assert "\n" not in str(caught.value)
    assert not list((publishing.path / "weights").iterdir())


def test_files_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    one, two = Pretrained("https://a.org/1/model.pt?download=true"), Pretrained("https://a.org/2/model.pt")
    paths = {release_path(release, tmp_path) for release in (one, two, replace(two, sha256="0123"))}
    assert len(paths) == 3
    assert {path.name.partition("-")[2] for path in paths} == {"model.pt"}


def test_published_weights_that_were_damaged_since(publishing: Lab) -> None:
    """Told when the plan is made; with --download they come anew."""
    cell = cell_of(release(publishing, "first"))
    begun(publishing, cell, download=True)
    (path,) = (publishing.path / "weights").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    damaged, expected = (hashlib.sha256(content).hexdigest() for content in (whole[:-1], whole))
    for attempt in (lambda: release(publishing, "first", download=False), lambda: begun(publishing, cell)):
        with pytest.raises(UserError) as caught:
            attempt()
        assert f"the sha256 of {path} is {damaged}, and {expected[:8]} is expected; --download" in str(caught.value)
    assert has(begun(publishing, cell, download=True), weights_of(publishing))
    assert path.read_bytes() == whole


def test_torchvisions_weights_by_name() -> None:
    specs = {spec.name: spec for spec in torchvision_models.kdharness_models()}
    for spec in specs.values():
        releases = spec.pretrained()
        assert "imagenet1k_v1" in releases
        for each in releases.values():
            assert each.preprocessing is not None
            assert len(each.preprocessing.mean) == 3
            assert each.url.endswith(f"-{each.sha256}.pth")
            assert len(each.sha256) >= 8
    made = specs["torchvision_resnet18"].pretrained()["imagenet1k_v1"]
    assert made.preprocessing.input_shape((3, 32, 32)) == (3, 224, 224)
    assert made.preprocessing.mean == (0.485, 0.456, 0.406)


def test_names_in_torchvisions_densenets() -> None:
    name = "features.denseblock1.denselayer12.norm.1.weight"
    assert torchvision_models.former_densenet(name) == "features.denseblock1.denselayer12.norm1.weight"
    assert torchvision_models.former_densenet("features.norm0.weight") == "features.norm0.weight"
