"""Metrics that look at networks and at training, against numbers computed by hand."""

from __future__ import annotations

import csv
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from kdharness_plugins.metrics.class_separation import class_separation, classifier_features, pooled, scatter_ratio
from kdharness_plugins.metrics.gradient_norm import GradientNorm
from kdharness_plugins.metrics.weight_noise import DRAWS, PERCENT, noise, noisy, weight_noise
from torch import Tensor, nn
from torch.nn import functional as F

from kdharness.api import Inspection, ModelSpec, Predictions, StagedModel
from kdharness.results.record import Record, Status

SHAPE = (1, 4, 4)
NAMES = ("weight_noise", "class_separation", "gradient_norm")


def staged(*stages: nn.Module, width: int = 3, classes: int = 3) -> StagedModel:
    layers = [*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
    spec = ModelSpec(
        "toy", lambda *a: None, stages=tuple(map(str, range(len(stages)))), classifier=str(len(layers) - 1)
    )
    return StagedModel(nn.Sequential(*layers), spec, SHAPE)


def toy() -> StagedModel:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    return staged(first, nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU())).eval()


def inspection(model: StagedModel, predictor: nn.Module | None = None, **rest: object) -> Inspection:
    """Of 60 random images, in two batches."""
    generator = torch.Generator().manual_seed(1)
    images, targets = torch.randn(60, *SHAPE, generator=generator), torch.arange(60) % 3
    predictor = model if predictor is None else predictor

    def predict(split: str) -> dict[str, Predictions]:
        with torch.no_grad():
            outputs = predictor(images)
        named = outputs if isinstance(outputs, dict) else {"logits": outputs}
        return {name: Predictions(logits, targets, torch.arange(60)) for name, logits in named.items()}

    def batches(split: str):
        return zip(images.split(40), targets.split(40), strict=True)

    return Inspection(model, predictor, rest.pop("deployables", {}), "logits", predict, batches, nullcontext)  # type: ignore[arg-type]


# -- features ----------------------------------------------------------------------------------------------------------


def test_scatter_ratio_by_hand() -> None:
    # Means (1, 0), (5, 0) and (3, 0) of all. Within: 1 + 1 + 4 + 4; between: 2 * 4 + 2 * 4.
    features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 2.0], [5.0, -2.0]])
    assert scatter_ratio(features, torch.tensor([0, 0, 1, 1])) == pytest.approx(10 / 16)


def test_scatter_ratio_weighs_classes_by_their_size() -> None:
    # Means 0, 3 and 1 of all. Within: 0; then one sample moved by 1 on each side of its class: 2.
    features = torch.tensor([[-1.0], [1.0], [0.0], [0.0], [3.0], [3.0]])
    assert scatter_ratio(features, torch.tensor([0, 0, 0, 0, 1, 1])) == pytest.approx(2 / (4 * 1 + 2 * 4))


def test_scatter_ratio_does_not_depend_on_scale_shift_or_rotation() -> None:
    features, targets = torch.randn(50, 4, dtype=torch.float64), torch.arange(50) % 5
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    ratio = scatter_ratio(features, targets)
    assert scatter_ratio(7 * features @ turn + 3, targets) == pytest.approx(ratio)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_no_ratio_where_class_means_coincide(value: float) -> None:
    assert scatter_ratio(torch.full((9, 3), value), torch.arange(9) % 3) is None
    assert scatter_ratio(torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]), torch.tensor([0, 0, 1, 1])) is None
    assert scatter_ratio(torch.randn(5, 2), torch.zeros(5, dtype=torch.int64)) is None


def test_pooling() -> None:
    assert pooled(torch.arange(8.0).view(1, 2, 2, 2)).tolist() == [[1.5, 5.5]]
    assert pooled(torch.ones(4, 3)).shape == (4, 3)


def test_separation_of_stages_and_embedding() -> None:
    model = toy()
    cell = inspection(model)
    found = class_separation(cell)
    assert list(found) == ["logits"]
    assert set(found["logits"]) == {"class_separation", "class_separation_stage1", "class_separation_stage2"}
    images = torch.cat([images for images, _ in cell.batches("test")])
    with torch.no_grad():
        outputs = model.run(images, ("stages", "embedding"))
    for number, features in enumerate(outputs.stages, start=1):
        expected = scatter_ratio(features.mean(dim=(2, 3)), torch.arange(60) % 3)
        assert found["logits"][f"class_separation_stage{number}"] == pytest.approx(expected)
    assert found["logits"]["class_separation"] == pytest.approx(scatter_ratio(outputs.embedding, torch.arange(60) % 3))


class Mean(nn.Module):
    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([member(images) for member in self.members]).mean(dim=0)


def test_an_output_s_features_are_what_its_classifier_reads() -> None:
    images = torch.randn(5, 4)
    inner = nn.Linear(4, 6)
    network = nn.Sequential(inner, nn.ReLU(), nn.Linear(6, 3))
    assert torch.equal(classifier_features(network, images), inner(images).relu())  # type: ignore[arg-type]
    assert classifier_features(nn.Sequential(network, nn.Softmax(1)), images) is None
    assert classifier_features(Mean(network, nn.Linear(4, 3)), images) is None


def test_separation_of_each_output() -> None:
    model = toy()
    early = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    cell = inspection(model, deployables={"logits": model, "early": early, "mean": Mean(model, early)})
    found = class_separation(cell)
    assert set(found) == {"logits", "early"}
    images = torch.cat([images for images, _ in cell.batches("test")])
    assert found["early"] == {"class_separation": pytest.approx(scatter_ratio(images.flatten(1), torch.arange(60) % 3))}


def test_dead_features_have_no_number() -> None:
    model = toy()
    model.network[1][0].weight.data.zero_()  # type: ignore[index, union-attr]
    model.network[1][0].bias.data.fill_(-1)  # type: ignore[index, union-attr]
    assert set(class_separation(inspection(model))["logits"]) == {"class_separation_stage1"}


# -- noise -------------------------------------------------------------------------------------------------------------


def test_noise_is_its_own() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one = noise("student.conv.weight", (40, 50), 0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert torch.equal(noise("student.conv.weight", (40, 50), 0), one)
    assert not torch.equal(noise("student.conv.weight", (40, 50), 1), one)
    assert not torch.equal(noise("student.fc.weight", (40, 50), 0), one)
    assert abs(one.mean()) < 0.1
    assert one.std() == pytest.approx(1.0, abs=0.05)


def test_noise_is_relative_to_each_weight_and_leaves_vectors_alone() -> None:
    weights = {"a": torch.full((30, 30), 3.0), "b": torch.full((30, 30), 0.5), "bias": torch.ones(30)}
    found = noisy(weights, 0.2, 0)
    assert set(found) == {"a", "b"}
    assert (found["a"] - 3).std() == pytest.approx(0.6, rel=0.1)
    assert torch.allclose(found["b"], 0.5 + 0.1 * noise("b", (30, 30), 0))
    assert torch.equal(noisy(weights, 0.0, 0)["a"], weights["a"])


def test_noise_on_the_weights() -> None:
    model = toy()
    separated = inspection(model)
    with torch.no_grad():  # what it says without noise is right for every image
        labels = torch.cat([model(images) for images, _ in separated.batches("test")]).argmax(1)
    cell = Inspection(
        model, model, {}, "logits",
        lambda split: {"logits": Predictions(separated.predict(split)["logits"].logits, labels, labels)},
        separated.batches, nullcontext,
    )  # fmt: skip
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    held = {name: parameter.data_ptr() for name, parameter in model.named_parameters()}
    versions = [parameter._version for parameter in model.parameters()]
    found = weight_noise(cell)["logits"]
    assert list(found) == [f"weight_noise_{what}_{s}" for s in PERCENT for what in ("top1", "change")]
    assert all(found[f"weight_noise_change_{s}"] == found[f"weight_noise_top1_{s}"] - 100 for s in PERCENT)
    assert 90 < found["weight_noise_top1_5"] <= 100
    assert found["weight_noise_top1_40"] < found["weight_noise_top1_5"]
    assert weight_noise(cell)["logits"] == found
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert {name: parameter.data_ptr() for name, parameter in model.named_parameters()} == held
    assert [parameter._version for parameter in model.parameters()] == versions


def test_noise_by_hand() -> None:
    model, total = toy(), 0.0
    cell = inspection(model)
    weights = {f"student.{name}": parameter.detach().clone() for name, parameter in model.network.named_parameters()}
    for draw in range(DRAWS):
        other = toy()
        other.network.load_state_dict(
            {k.removeprefix("student."): v for k, v in noisy(weights, 0.4, draw).items()}, strict=False
        )
        logits = torch.cat([other(images) for images, _ in cell.batches("test")])
        total += 100 * (logits.argmax(1) == torch.arange(60) % 3).double().mean().item()
    assert weight_noise(cell)["logits"]["weight_noise_top1_40"] == pytest.approx(total / DRAWS)


def test_weights_are_put_back_when_something_raises() -> None:
    model = toy()
    cell = inspection(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    name = "student.0.0.weight"
    with pytest.raises(ValueError, match="inside with False"), cell.replaced({name: torch.zeros(2, 1, 3, 3)}):
        raise ValueError(f"inside with {model.network[0][0].weight.any()}")  # type: ignore[index, union-attr]
    with pytest.raises(ValueError, match=r"'student.1.0.weight' is \[3, 2, 1, 1\], not \[3\]"):
        cell.replaced({name: torch.zeros(2, 1, 3, 3), "student.1.0.weight": torch.zeros(3)}).__enter__()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_the_student_s_weights_have_the_same_names_under_any_predictor() -> None:
    model = toy()
    plain = inspection(model).parameters()
    wrapped = inspection(model, nn.Sequential(model, nn.Linear(3, 3))).parameters()
    assert list(plain) == [f"student.{name}" for name, _ in model.network.named_parameters()]
    assert list(wrapped) == [*plain, "predictor.1.weight", "predictor.1.bias"]


# -- gradients ---------------------------------------------------------------------------------------------------------


def test_gradient_norms_by_hand() -> None:
    model = toy().train()
    observer = GradientNorm(model)
    sections = ("0.", "1.", "4.")
    sums, shares = [0.0] * 3, 0.0
    for step in range(2):
        generator = torch.Generator().manual_seed(step)
        loss = F.cross_entropy(model(torch.randn(12, *SHAPE, generator=generator)), torch.arange(12) % 3)
        names = [name for name, _ in model.network.named_parameters()]
        gradients = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
        squares = [
            sum(g.square().sum().item() for n, g in zip(names, gradients, strict=True) if n.startswith(s))
            for s in sections
        ]
        sums = [total + square**0.5 for total, square in zip(sums, squares, strict=True)]
        shares += (squares[0] / sum(squares)) ** 0.5
        model.zero_grad()
        loss.backward()
        observer.before_update(list(model.parameters()))
    found = observer.values()
    expected = dict(zip(("stage1", "stage2", "head"), (total / 2 for total in sums), strict=True))
    assert found == {
        **{f"gradient_norm_{name}": pytest.approx(value, rel=1e-5) for name, value in expected.items()},
        "gradient_norm_early_share": pytest.approx(shares / 2, rel=1e-5),
    }
    assert observer.values() == {}


def test_stages_that_are_not_trained_have_no_gradient_norm() -> None:
    model = toy()
    observer = GradientNorm(model)
    model.network[0].requires_grad_(False)  # type: ignore[index]
    for parameter in model.network[0].parameters():  # type: ignore[index]
        parameter.grad = torch.ones_like(parameter)  # of an earlier phase
    trained = [p for p in model.parameters() if p.requires_grad]
    observer.before_update(trained)
    assert observer.values() == {}
    model(torch.randn(4, *SHAPE)).sum().backward()
    observer.before_update(trained)
    assert set(observer.values()) == {"gradient_norm_stage2", "gradient_norm_head"}


def test_sections_of_a_network_are_by_use_not_by_name(registry) -> None:
    spec = registry.get("model", "resnet8").spec
    model = StagedModel(spec.factory(10, (3, 16, 16)), spec, (3, 16, 16)).train()
    sections = model.sections()
    assert len(sections) == model.num_stages + 1
    assert sum(map(len, sections)) == len(list(model.parameters()))
    assert sections[0][0] is next(model.network.parameters())  # the stem
    assert sections[-1] == list(model.classifier.parameters())
    assert model.training
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert int(norm.num_batches_tracked) == 0  # type: ignore[arg-type]


# -- cells -------------------------------------------------------------------------------------------------------------

BY_HAND = '''
import torch
import torch.nn.functional as F
from kdharness.api import Method, MethodSpec, Reads, hookimpl

class ByHand(Method):
    """Tells its gradients by a way of its own."""
    name = "by_hand"
    reads = Reads(teachers="none")

    def build(self, context):
        self.names = [name for name, _ in context.student_model.network.named_parameters()]
        self.found = []

    def before_epoch(self, epoch):
        self.found = []

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets), "size": 1e-3 * student.logits.square().mean()}

    def update(self, step):
        gradients = step.gradients(step.total())
        own = [g for name, g in zip(self.names, gradients) if name.startswith("stage2")]
        self.found.append(torch.stack([g.square().sum() for g in own]).sum().sqrt().item())
        super().update(step)

    def curves(self):
        return {"told": sum(self.found) / len(self.found)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(ByHand)]
'''


def history(lab, key: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with lab.folder.cell(key).history.open() as file:
        for row in csv.DictReader(file):
            if row["split"] == "train":
                found.setdefault(row["metric"], []).append(float(row["value"]))
    return found


def numbers(record: Record) -> dict[tuple[str, str], float]:
    return {(row.predictor, row.metric): row.value for row in record.metrics}


def test_gradient_norms_of_a_cell(make_lab, tmp_path: Path) -> None:
    file = tmp_path / "by_hand.py"
    file.write_text(BY_HAND)
    lab = make_lab(plugin_files=(file,), metrics=("gradient_norm", "top1"))
    plan = lab.plan(methods=("by_hand",), scenarios=("few100",), epochs=3, pairs=("conv8:conv4",))
    (cell,) = (p.cell for p in plan.cells)
    record = lab.train([cell])[cell.key]
    curves = history(lab, cell.key)
    assert curves["gradient_norm_stage2"] == pytest.approx(curves["told"], rel=1e-5)
    assert len(curves["told"]) == 3
    found = numbers(record)
    assert found["logits", "gradient_norm_stage2"] == pytest.approx(np.mean(curves["told"]), rel=1e-5)
    assert found["logits", "gradient_norm_stage2_last"] == pytest.approx(curves["told"][-1], rel=1e-5)
    assert record.values["x_gradient_norm_stage2"] == found["logits", "gradient_norm_stage2"]


def test_looking_changes_nothing(make_lab) -> None:
    """Weights, predictions and curves are the same to the last bit; so are those of neighbours, and the keys."""
    cells = [p.cell for p in make_lab().plan(methods=("vanilla", "byot"), scenarios=("few100",)).cells]
    plain, looked = make_lab("plain"), make_lab("looked", metrics=("top1", "nll", *NAMES))
    plain.train(cells)
    records = looked.train(cells)
    for cell in cells:
        assert records[cell.key].status is Status.OK, records[cell.key].traceback
        before, after = plain.bits(cell.key), looked.bits(cell.key)
        assert before["model.safetensors"] == after["model.safetensors"]
        assert before["predictions.npz"] == after["predictions.npz"]
        lines = after["history.csv"].decode().splitlines()
        assert [line for line in lines if ",gradient_norm" not in line] == before["history.csv"].decode().splitlines()
        assert any(",gradient_norm_early_share," in line for line in lines)


def test_every_output_of_byot_is_looked_at(make_lab) -> None:
    lab = make_lab(metrics=("top1", *NAMES))
    plan = lab.plan(methods=("byot",), scenarios=("few100",), epochs=1)
    (cell,) = (p.cell for p in plan.cells)
    found = numbers(lab.train([cell])[cell.key])
    outputs = {predictor for predictor, metric in found if metric == "top1"}
    main = next(iter(outputs - {"ensemble", "exit1", "exit2"}))
    assert {predictor for predictor, metric in found if metric == "weight_noise_top1_5"} == outputs
    assert {predictor for predictor, metric in found if metric == "class_separation"} == outputs - {"ensemble"}
    assert {predictor for predictor, metric in found if metric == "gradient_norm_stage1"} == {main}
    for output in outputs:
        change = found[output, "weight_noise_change_20"]
        assert found[output, "weight_noise_top1_20"] - change == pytest.approx(found[output, "top1"])


def test_noise_is_paired_and_the_same_again(make_lab) -> None:
    cells = [p.cell for p in make_lab().plan(methods=("vanilla", "byot"), scenarios=("few100",), epochs=1).cells]
    lab, other = make_lab("one", metrics=NAMES), make_lab("other", metrics=("weight_noise",))
    together = lab.train(cells)
    alone = other.train(cells[:1])[cells[0].key]
    noise_of = [n for n in numbers(alone) if n[1].startswith("weight_noise")]
    assert noise_of
    assert all(numbers(together[cells[0].key])[n] == numbers(alone)[n] for n in noise_of)


TURNS = '''
import torch
import torch.nn.functional as F
from kdharness.api import Method, MethodSpec, Phase, Player, Reads, hookimpl

class Turns(Method):
    """A player takes its turn after the student's, and leaves nothing, or something else, in `.grad`."""
    name = "turns"
    reads = Reads(teachers="none")
    terms = {"other": "player"}
    second: bool = True

    def build(self, context):
        self.peer = context.peer("peer")

    def phases(self):
        if self.second:
            return [Phase(players=(Player("main", parts=("student",)), Player("peer", parts=("method.peer",))))]
        return [Phase(players=(Player("main", parts=("student",)),))]

    def losses(self, batch, student, teacher):
        mixed = self.peer.run(batch.images).logits + student.logits
        return {"ce": F.cross_entropy(student.logits, batch.targets), "other": F.cross_entropy(mixed, batch.targets)}

    def update(self, step):
        step.zero_grad()
        step.backward(step.total("task"))
        step.apply("main")
        if self.second:
            step.losses = step.recompute()
            step.zero_grad()
            step.backward(step.total("player"))
            step.apply("peer")

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Turns)]
'''


def test_the_gradient_is_that_of_the_student_s_own_update(make_lab, tmp_path: Path) -> None:
    file = tmp_path / "turns.py"
    file.write_text(TURNS)
    found = []
    for second in (True, False):
        lab = make_lab(f"lab{second}", plugin_files=(file,), metrics=("gradient_norm",))
        plan = lab.plan(methods=("turns",), scenarios=("few100",), epochs=1, settings=(f"turns.second={second}",))
        (cell,) = (p.cell for p in plan.cells)
        record = lab.train([cell])[cell.key]
        found.append(record.values["x_gradient_norm_stage1"])
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[0] > 0
