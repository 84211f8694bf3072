"""Every field of the recipe as training sees it: told by a method that writes down what it was given."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from kdharness.protocol.recipe import Recipe
from kdharness.results.record import Record
from kdharness.testing import Lab

PLUGIN = '''
import hashlib, json
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from kdharness.api import *

class Teller(Method):
    """Writes down its optimisers, images and precision, step by step."""
    name = "teller"
    reads = Reads(taps=("embedding",), views=("recipe", "standard", "none"))
    where: str = ""
    players: bool = False

    def build(self, context):
        self.extra = nn.Linear(3, 2)
        self.sizes = [sum(p.numel() for p in part.parameters()) for part in (context.student_model, self.extra)]
        self.models = [context.student_model, *context.teacher_models]

    def phases(self):
        if not self.players:
            return [Phase()]
        adam = {"optimizer": "adam", "lr": 0.02, "weight_decay": 0.3}
        first = (Player("one", ("student",), adam), Player("two", ("method",)))
        second = (Player("one", ("student",)), Player("two", ("method",), {"optimizer": "adamw", "lr": 0.5}))
        changes = {"momentum": 0.6, "weight_decay": 0.07, "lr": 0.04}
        return [Phase("first", epochs=1, players=first), Phase("second", epochs=1, players=second, recipe=changes)]

    def losses(self, batch, student, teacher):
        self.seen = dict(
            images=[hashlib.sha256(view.contiguous().numpy().tobytes()).hexdigest() for view in batch.views],
            size=len(batch.targets),
            channels_last=[m.network.wide.weight.is_contiguous(memory_format=torch.channels_last) for m in self.models],
            taps=[str(one._taps["embedding"].dtype) for one in (student, teacher)],
        )
        ce = F.cross_entropy(student.logits, batch.targets)
        return {"ce": ce, "extra": self.extra.weight.square().sum() + self.extra.bias.sum()}

    def update(self, step):
        super().update(step)
        told = {}
        norms = [p.grad.norm() for parts in step.parameters.values() for p in parts if p.grad is not None]
        for name, optimizer in step.optimizers.items():
            groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            held = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
            told[name] = dict(kind=type(optimizer).__name__, groups=groups, held=held)
        line = dict(self.seen, optimizers=told, sizes=self.sizes, phase=step.info.phase, epoch=int(step.info.epoch),
                    norm=float(torch.stack(norms).norm()), progress=float(step.info.progress),
                    rates={name: float(rate) for name, rate in step.info.rates.items()})
        with open(self.where, "a") as file:
            file.write(json.dumps(line) + "\\n")

    def predictor(self, student, teachers):
        return Predictor(student, self.where + "-predicted")

class Predictor(nn.Module):
    def __init__(self, student, where):
        super().__init__()
        self.kinds = []
        self.student, self.where = student, where
        student.network.wide.register_forward_hook(self.note)

    def note(self, module, args, output):
        self.kinds.append([str(output.dtype), args[0].is_contiguous(memory_format=torch.channels_last)])

    def forward(self, images):
        self.kinds = []
        logits = self.student(images)
        with open(self.where, "a") as file:
            file.write(json.dumps([*self.kinds[0], len(images)]) + "\\n")
        return logits

class Net(nn.Module):
    def __init__(self, num_classes, input_shape):
        super().__init__()
        self.wide = nn.Conv2d(input_shape[0], 4, 3, padding=1)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.wide(x).relu().mean((2, 3)))

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Teller)]

@hookimpl
def kdharness_models():
    return [ModelSpec("net", Net, classifier="fc")]

def load(request):
    random = np.random.default_rng(0)
    def split(n):
        images = random.integers(0, 256, (n, 2, 6, 6), dtype=np.uint8)
        return Split(images, np.arange(n, dtype=np.int64) % 3)
    augmentation = Augmentation(crop_padding=1, flip=True)
    return ImageDataset({"train": split(40), "test": split(300)}, tuple("abc"), (0.5, 0.4), (0.2, 0.3), augmentation)

@hookimpl
def kdharness_datasets():
    info = DatasetInfo("made:1", 3, (2, 6, 6), 40)
    return [DatasetSpec(name="made", describe=lambda request: info, load=load, summary="noise")]
'''


@pytest.fixture
def told(make_lab: Callable[..., Lab], tmp_path: Path) -> Callable[..., tuple[Record, list[dict[str, Any]]]]:
    """Trains one cell with changes to the recipe; its record, and a line for each of its steps."""
    (tmp_path / "teller.py").write_text(PLUGIN)
    lab = make_lab(plugin_files=(tmp_path / "teller.py",), metrics=("top1",))

    def train(*changes: str, epochs: int = 1, players: bool = False) -> tuple[Record, list[dict[str, Any]]]:
        where = tmp_path / f"told{len(list(tmp_path.iterdir()))}"
        settings = (f"teller.where={where}", f"teller.players={players}", *(f"recipe.{c}" for c in changes))
        plan = lab.plan(
            methods=("teller",), datasets=("made",), pairs=("net:net",), scenarios=("clean",), epochs=epochs,
            settings=("recipe.batch_size=10", *settings),
        )  # fmt: skip
        records = lab.train_plan(plan)
        record = records[plan.cells[-1].cell.key]
        assert record.status == "ok", record.traceback
        return record, [json.loads(line) for line in where.read_text().splitlines()]

    return train


def group_of(kind: type[torch.optim.Optimizer], **changes: Any) -> dict[str, Any]:
    """What a group of torch's optimiser holds, with these changes."""
    group = kind([torch.nn.Parameter(torch.zeros(1))], **changes).param_groups[0]  # type: ignore[call-arg]
    return json.loads(json.dumps({k: v for k, v in group.items() if k not in ("params", "fused")}))  # type: ignore[no-any-return]


def only(line: Mapping[str, Any], player: str = "main") -> tuple[str, dict[str, Any], int]:
    """Kind, group, and number of parameters of one player's optimiser."""
    told = line["optimizers"][player]
    (group,) = told["groups"]
    group.pop("fused")
    return told["kind"], group, told["held"]


SGD = ("optimizer=sgd", "lr=0.03", "momentum=0.8", "weight_decay=0.004", "schedule=constant")


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_has_the_recipes_fields(told: Any, nesterov: bool) -> None:
    _, lines = told(*SGD, f"nesterov={nesterov}")
    expected = group_of(torch.optim.SGD, lr=0.03, momentum=0.8, weight_decay=0.004, nesterov=nesterov)
    for line in lines:
        assert only(line) == ("SGD", expected, sum(line["sizes"])), "decay is for every parameter"


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_adam_has_the_recipes_fields(told: Any, kind: str) -> None:
    """Momentum is SGD's alone: the others keep torch's betas."""
    _, lines = told(f"optimizer={kind.lower()}", "lr=0.003", "weight_decay=0.04", "momentum=0.5", "schedule=constant")
    expected = group_of(getattr(torch.optim, kind), lr=0.003, weight_decay=0.04)
    for line in lines:
        assert only(line) == (kind, expected, sum(line["sizes"]))


def test_what_phases_and_players_replace(told: Any) -> None:
    """A player's fields stand over its phase's, and these over the recipe's."""
    _, lines = told(*SGD, players=True)
    by_phase = {line["phase"]: line for line in lines}
    student, extra = lines[0]["sizes"]
    adam = group_of(torch.optim.Adam, lr=0.02, weight_decay=0.3)
    recipe = group_of(torch.optim.SGD, lr=0.03, momentum=0.8, weight_decay=0.004)
    phase = group_of(torch.optim.SGD, lr=0.04, momentum=0.6, weight_decay=0.07)
    adamw = group_of(torch.optim.AdamW, lr=0.5, weight_decay=0.07)
    assert only(by_phase["first"], "one") == ("Adam", adam, student)
    assert only(by_phase["first"], "two") == ("SGD", recipe, extra)
    assert only(by_phase["second"], "one") == ("SGD", phase, student)
    assert only(by_phase["second"], "two") == ("AdamW", adamw, extra)


SCHEDULES: dict[tuple[str, ...], list[float]] = {
    ("schedule=constant",): [1, 1, 1, 1],
    ("schedule=cosine",): [(1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)],
    ("schedule=multistep", "milestones=0.25,0.75", "gamma=0.2"): [1, 0.2, 0.2, 0.04],
    ("schedule=multistep", "milestones=0.5", "gamma=0.3"): [1, 1, 0.3, 0.3],
    ("schedule=constant", "warmup_epochs=3"): [1 / 4, 2 / 4, 3 / 4, 1],
    ("schedule=multistep", "milestones=0.5", "gamma=0.5", "warmup_epochs=1"): [1 / 2, 1, 0.5, 0.5],
}


@pytest.mark.parametrize("schedule", SCHEDULES, ids=" ".join)
def test_the_schedule_reaches_the_optimiser(told: Any, schedule: tuple[str, ...]) -> None:
    _, lines = told("lr=0.08", *schedule, epochs=4)
    rates: dict[int, set[float]] = {}
    for line in lines:
        rates.setdefault(line["epoch"], set()).add(only(line)[1]["lr"])
    assert all(len(found) == 1 for found in rates.values()), "it changes between epochs only"
    assert [found.pop() for _, found in sorted(rates.items())] == pytest.approx(
        [0.08 * share for share in SCHEDULES[schedule]]
    )


BY_STEP: dict[tuple[str, ...], list[float]] = {
    ("schedule=constant",): [1] * 8,
    ("schedule=cosine",): [(1 + math.cos(math.pi * k / 8)) / 2 for k in range(8)],
    ("schedule=multistep", "milestones=0.625", "gamma=0.1"): [1, 1, 1, 1, 1, 0.1, 0.1, 0.1],
    ("schedule=constant", "warmup_epochs=1"): [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 1, 1, 1],
    ("schedule=cosine", "min_lr=0.02"): [0.25 + 0.75 * (1 + math.cos(math.pi * k / 8)) / 2 for k in range(8)],
}


@pytest.mark.parametrize("schedule", BY_STEP, ids=" ".join)
def test_a_schedule_by_step_moves_within_an_epoch(told: Any, schedule: tuple[str, ...]) -> None:
    """Two epochs of four steps; methods are told the rate that the optimiser has."""
    _, lines = told("lr=0.08", "schedule_per=step", *schedule, epochs=2)
    assert [only(line)[1]["lr"] for line in lines] == pytest.approx([0.08 * share for share in BY_STEP[schedule]])
    assert [line["rates"]["main"] for line in lines] == pytest.approx([0.08 * share for share in BY_STEP[schedule]])
    assert [line["progress"] for line in lines] == [k / 8 for k in range(8)]


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        (("schedule=cosine",), [0.25 + 0.75 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]),
        (("schedule=multistep", "milestones=0.25,0.5,0.75", "gamma=0.5"), [1, 0.5, 0.25, 0.25]),
        (("schedule=multistep", "milestones=0.25", "gamma=0.5", "warmup_epochs=3"), [0.25, 0.25, 0.375, 0.5]),
    ],
    ids=str,
)
def test_the_learning_rate_has_a_floor(told: Any, schedule: tuple[str, ...], shares: list[float]) -> None:
    _, lines = told("lr=0.08", "min_lr=0.02", *schedule, epochs=4)
    rates = {line["epoch"]: only(line)[1]["lr"] for line in lines}
    assert [rates[epoch] for epoch in range(4)] == pytest.approx([0.08 * share for share in shares])


def test_the_whole_gradient_is_clipped(told: Any) -> None:
    _, free = told("lr=0.001")
    _, clipped = told("lr=0.001", "clip_norm=0.3")
    _, loose = told("lr=0.001", "clip_norm=1000")
    assert all(line["norm"] > 0.5 for line in free)
    assert [line["norm"] for line in clipped] == pytest.approx([0.3] * len(clipped), rel=1e-4)
    assert [line["norm"] for line in loose] == [line["norm"] for line in free]


def test_norms_and_biases_are_not_decayed_on_request(told: Any) -> None:
    _, lines = told(*SGD, "decay_norms_and_biases=False")
    decayed, spared = lines[0]["optimizers"]["main"]["groups"]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.004, 0.0)
    assert decayed["lr"] == spared["lr"] == 0.03
    assert lines[0]["optimizers"]["main"]["held"] == sum(lines[0]["sizes"])


def test_an_image_is_repeated_under_draws_of_its_own(told: Any) -> None:
    """As many steps as without, of larger batches."""
    record, lines = told("batch_size=16", "repeats=3", epochs=2)
    assert [line["size"] for line in lines] == [48, 48, 24] * 2
    images = record.values["images_per_second"] * (record.values["train_seconds"] + record.values["shared_seconds"])
    assert images == pytest.approx(240)


def test_batch_size_and_epochs(told: Any) -> None:
    record, lines = told("batch_size=16", epochs=3)
    assert [line["size"] for line in lines] == [16, 16, 8] * 3
    assert [line["epoch"] for line in lines] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert record.values["epochs"] == 3


@pytest.mark.parametrize("augmentation", ["standard", "none"])
def test_augmentation_is_the_datasets_or_none(told: Any, augmentation: str) -> None:
    """The recipe's view, one that is always augmented, one that never is; each drawn for itself."""
    _, lines = told(f"augmentation={augmentation}", epochs=2)
    for recipe, standard, plain in (line["images"] for line in lines):
        assert (recipe == plain) == (augmentation == "none")
        assert standard not in (plain, recipe)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "torch.float32"), ("bf16", "torch.bfloat16")])
def test_precision_is_that_of_student_teacher_and_evaluation(
    told: Any, tmp_path: Path, precision: str, dtype: str
) -> None:
    record, lines = told(f"precision={precision}")
    assert {kind for line in lines for kind in line["taps"]} == {dtype}
    assert {kind for kind, *_ in predicted(tmp_path)} == {dtype}
    assert record.values["precision"] == precision


@pytest.mark.parametrize("layout", [False, True])
def test_channels_last_is_the_layout_of_networks_and_their_input(told: Any, tmp_path: Path, layout: bool) -> None:
    _, lines = told(f"channels_last={layout}")
    assert {state for line in lines for state in line["channels_last"]} == {layout}
    assert {state for _, state, _ in predicted(tmp_path)} == {layout}


def predicted(tmp_path: Path) -> list[tuple[str, bool, int]]:
    """Of each batch that was evaluated, but for the blank images that costs are counted with."""
    lines = [json.loads(line) for path in tmp_path.glob("told*-predicted") for line in path.read_text().splitlines()]
    return [(kind, layout, size) for kind, layout, size in lines if size > 1]


def test_the_defaults_of_a_recipe() -> None:
    """The standard CIFAR recipe, but for its length: what a benchmark leaves out is this."""
    assert Recipe(epochs=7).model_dump() == {
        "epochs": 7, "batch_size": 64, "optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": False,
        "weight_decay": 5e-4, "schedule": "multistep", "milestones": (0.625, 0.75, 0.875), "gamma": 0.1,
        "warmup_epochs": 0.0, "augmentation": "standard", "precision": "fp32", "channels_last": False,
        "mixup": 0.0, "cutmix": 0.0, "mixing_probability": 1.0, "mixing_off_epoch": None,
        "label_smoothing": 0.0, "loss": "ce",
        "schedule_per": "epoch", "min_lr": 0.0, "clip_norm": 0.0, "decay_norms_and_biases": True,
        "repeats": 1, "ema_decay": 0.0, "evaluate": "last", "teacher_outputs": "auto",
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0}, {"batch_size": 1}, {"lr": 0}, {"momentum": -0.1}, {"momentum": 1}, {"weight_decay": -1},
        {"gamma": 0}, {"warmup_epochs": -1}, {"schedule": "step"}, {"precision": "fp16"},
        {"augmentation": None}, {"mixup": -0.1}, {"cutmix": -1}, {"mixing_probability": 1.1},
        {"mixing_off_epoch": -1}, {"label_smoothing": 1}, {"loss": "mse"},
        {"min_lr": -1}, {"clip_norm": -1}, {"repeats": 0}, {"ema_decay": 1}, {"evaluate": "ema"},
        {"evaluate": "best"}, {"schedule_per": "batch"}, {"teacher_outputs": "online"},
        {"lr": 1e308}, {"lr": -1}, {"weight_decay": 1e308}, {"weight_decay": math.inf}, {"gamma": 1.5}, {"gamma": -1},
        {"milestones": [0.5, 0.25]}, {"milestones": [0.5, 0.5]}, {"milestones": [0]}, {"milestones": [1]},
        {"milestones": [5, -3]}, {"milestones": [math.nan]}, {"min_lr": 1e308}, {"clip_norm": math.inf},
        {"repeats": 10**6}, {"ema_decay": -0.1}, {"ema_decay": 1.5}, {"mixup": 1e308}, {"cutmix": math.nan},
        {"warmup_epochs": 1e308}, {"mixing_off_epoch": 10**12}, {"epochs": 10**12}, {"batch_size": 10**12},
        {"momentum": 1.5}, {"label_smoothing": -0.1}, {"mixing_probability": -0.1}, {"epochs": 1.5},
        {"lr": math.nan}, {"lr": math.inf}, {"learning_rate": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_no_recipe_may_hold(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        Recipe.model_validate({"epochs": 1, **changes})


def test_the_least_that_a_recipe_may_hold() -> None:
    least = {"epochs": 1, "batch_size": 2, "momentum": 0, "weight_decay": 0, "warmup_epochs": 0}
    assert {k: v for k, v in Recipe.model_validate(least).model_dump().items() if k in least} == least
