"""Phases, players, and everything else that a method may ask for."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kdharness.api import Phase, reverse_gradient
from kdharness.api.executors import EpochFinished
from kdharness.engine.cell_state import CellState
from kdharness.errors import UserError
from kdharness.protocol.benchmark import Benchmark, load
from kdharness.results.record import Record, Status

HEAD = """
from pathlib import Path
import json, random
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from kdharness.api import *

def cross_entropy(batch, student):
    return F.cross_entropy(student.logits, batch.targets)
"""
FOOT = """
@hookimpl
def kdharness_methods():
    return [MethodSpec.of(value) for value in list(globals().values())
            if isinstance(value, type) and issubclass(value, Method) and value is not Method]
"""

STAGES = '''
class Staged(Method):
    """Trains an adapter, then the student, then its classifier alone."""
    name = "staged"
    reads = Reads(taps=("stages",))
    where: str = ""

    def build(self, context):
        self.adapter = nn.Sequential(nn.Conv2d(context.student.stages[-1][0], 4, 1), nn.BatchNorm2d(4))
        self.student = [context.student_model]

    def phases(self):
        return [
            Phase("adapter", epochs=2, batch_size=25, players=(Player(parts=("method.adapter",)),),
                  recipe={"schedule": "constant", "lr": 0.3}),
            Phase("student", fraction=0.5, players=(Player(parts=("student",)),),
                  recipe={"schedule": "multistep", "milestones": (0.5,), "gamma": 0.1}),
            Phase("head", epochs=3, players=(
                      Player("top", parts=("student.fc",), optimizer={"optimizer": "adam", "lr": 1e-3}),
                  ), recipe={"schedule": "cosine"}),
        ]

    def losses(self, batch, student, teacher):
        # A list, which registers nothing: the student belongs to the harness.
        weights = {f"student.{k}": v for k, v in self.student[0].network.state_dict().items()}
        weights |= {f"adapter.{k}": v for k, v in self.adapter.state_dict().items()}
        torch.save(weights, Path(self.where) / f"{batch.step.phase}-{int(batch.step.epoch)}.pt")
        return {"ce": cross_entropy(batch, student), "map": self.adapter(student.stages[-1]).square().mean()}

    def update(self, step):
        super().update(step)
        with open(Path(self.where) / "steps.jsonl", "a") as file:
            lrs = {name: o.param_groups[0]["lr"] for name, o in step.optimizers.items()}
            kinds = {name: type(o).__name__ for name, o in step.optimizers.items()}
            line = dict(phase=step.info.phase, epoch=int(step.info.epoch), epochs=step.info.epochs,
                        progress=float(step.info.progress), lrs=lrs, kinds=kinds)
            file.write(json.dumps(line) + "\\n")
'''


@pytest.fixture
def lab_with(make_lab, tmp_path):
    """A lab with the methods in a piece of source."""

    def make(source: str, name: str = "lab", **rest):
        file = tmp_path / f"methods_of_{name}.py"
        file.write_text(HEAD + source + FOOT)
        return make_lab(name, plugin_files=(file,), **rest)

    return make


def train_one(lab, method: str, *settings: str, benchmark: str | Benchmark = "digits", **rest) -> Record:
    """The record of one student cell of the method."""
    rest = {"scenarios": ("few100",), **rest}
    plan = lab.plan(benchmark, methods=(method,), settings=tuple(f"{method}.{s}" for s in settings), **rest)
    records = lab.train_plan(plan)
    return next(r for r in records.values() if r.cell.role == "student" and r.cell.method == method)


def well(record: Record) -> Record:
    assert record.status is Status.OK, record.traceback
    return record


def history_of(lab, record: Record) -> list[dict[str, str]]:
    with lab.folder.cell(record.cell.key).history.open() as file:
        return list(csv.DictReader(file))


def curve(lab, record: Record, metric: str, split: str = "train", predictor: str = "") -> list[float]:
    rows = history_of(lab, record)
    return [float(r["value"]) for r in rows if (r["metric"], r["split"], r["predictor"]) == (metric, split, predictor)]


# -- phases ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """One run of three phases: what each step saw, and the weights at each epoch's last step."""
    from kdharness.testing import Lab

    path = tmp_path_factory.mktemp("staged")
    file = path / "staged.py"
    file.write_text(HEAD + STAGES + FOOT)
    lab = Lab(path / "lab", plugin_files=(file,))
    record = well(train_one(lab, "staged", f"where={path}", epochs=4))
    lines = [json.loads(line) for line in (path / "steps.jsonl").read_text().splitlines()]
    weights = {p.stem: torch.load(p, weights_only=True) for p in path.glob("*.pt")}
    final = load_file(lab.folder.cell(record.cell.key).model)
    return lab, record, lines, weights, final


def test_phases_have_their_own_lengths_and_batches(staged):
    lab, record, lines, _, _ = staged
    steps = Counter((line["phase"], line["epoch"]) for line in lines)
    assert steps == {
        ("adapter", 0): 4, ("adapter", 1): 4,  # 100 images in batches of 25
        ("student", 0): 2, ("student", 1): 2,  # half of the recipe's 4 epochs, in batches of 50
        ("head", 0): 2, ("head", 1): 2, ("head", 2): 2,
    }  # fmt: skip
    assert record.values["epochs"] == 7
    assert [e.epoch for e in lab.events if isinstance(e, EpochFinished) and e.key == record.cell.key] == [*range(1, 8)]
    assert {line["epochs"] for line in lines if line["phase"] == "head"} == {3}


def test_each_phases_schedule_runs_over_its_own_length(staged):
    lines = staged[2]
    rates = {(line["phase"], line["epoch"]): line["lrs"] for line in lines}
    base = load("digits").recipe.lr
    assert rates["adapter", 0] == rates["adapter", 1] == {"main": 0.3}
    assert rates["student", 0] == {"main": base}
    assert rates["student", 1] == {"main": pytest.approx(base * 0.1)}
    for epoch in range(3):
        expected = 1e-3 * 0.5 * (1 + math.cos(math.pi * epoch / 3))
        assert rates["head", epoch] == {"top": pytest.approx(expected)}
    assert {(line["phase"], *line["kinds"].values()) for line in lines} == {
        ("adapter", "SGD"), ("student", "SGD"), ("head", "Adam"),
    }  # fmt: skip


def test_progress_is_the_share_of_the_phase_that_is_done(staged):
    done = [line["progress"] for line in staged[2] if line["phase"] == "student"]
    assert done == [0.0, 0.25, 0.5, 0.75]


def test_what_a_phase_does_not_train_does_not_change_by_a_bit(staged):
    """Running statistics neither."""
    weights, final = staged[3], staged[4]

    def same(before: str, after: str, part: str) -> bool:
        one, other = weights[before], weights[after]
        return all(torch.equal(one[k], other[k]) for k in one if k.startswith(part))

    assert same("adapter-0", "adapter-1", "student.")
    assert not same("adapter-0", "adapter-1", "adapter.")
    assert same("student-0", "head-2", "adapter.")
    assert not same("student-0", "student-1", "student.")
    changed = {k for k in final if not torch.equal(final[k], weights["head-0"][f"student.{k}"])}
    assert changed == {"fc.weight", "fc.bias"}


# -- players -----------------------------------------------------------------------------------------------------------

PLAYERS = '''
class Duel(Method):
    """Student and critic move in turns."""
    name = "duel"
    reads = Reads(teachers="none")
    terms = {"ce": "task", "fool": "player", "tell": "player"}
    where: str = ""

    def build(self, context):
        self.critic = nn.Linear(context.num_classes, 1)
        self.other = nn.Linear(3, 3)
        self.student = [context.student_model]

    def phases(self):
        return [Phase(players=(
            Player("student", parts=("student",)),
            Player("critic", parts=("method.critic",), optimizer={"optimizer": "adamw", "lr": 0.01}),
            Player("rest", parts=("method",)),
        ))]

    def losses(self, batch, student, teacher):
        score = self.critic(student.logits).mean()
        return {"ce": cross_entropy(batch, student), "fool": -score, "tell": score + self.other.weight.square().sum()}

    def weights(self):
        return [next(m.parameters()).detach().clone() for m in (self.student[0], self.critic, self.other)]

    def update(self, step):
        before = self.weights()
        step.zero_grad()
        step.backward(step.total("task"), retain_graph=True)
        step.apply("student")
        middle = self.weights()
        step.zero_grad()
        step.backward(step.recompute()["tell"])
        step.apply("critic", "rest")
        after = self.weights()
        moved = [[not torch.equal(a, b) for a, b in zip(*pair)] for pair in ((before, middle), (middle, after))]
        sizes = {name: sum(p.numel() for p in parameters) for name, parameters in step.parameters.items()}
        gradient = step.gradients(self.critic.weight.sum(), "critic")
        sums = [None if g is None else float(g.sum()) for g in gradient]
        with open(self.where, "a") as file:
            file.write(json.dumps([moved, sizes, step.tags, sums]) + "\\n")
'''


def test_two_players_move_in_turns(lab_with, tmp_path):
    lab = lab_with(PLAYERS)
    well(train_one(lab, "duel", f"where={tmp_path / 'moves'}"))
    lines = [json.loads(line) for line in (tmp_path / "moves").read_text().splitlines()]
    assert len(lines) == 4
    for moved, sizes, tags, gradient in lines:
        assert moved == [[True, False, False], [False, True, True]]
        assert sizes["critic"] == 11
        assert sizes["rest"] == 12  # what no other player names
        assert tags == {"ce": "task", "fool": "player", "tell": "player"}
        assert gradient == [10.0, None]


ORDERED = '''
class Ordered(Method):
    """Sees the samples that it chose: first in its own order, then shuffled, then all as they lie."""
    name = "ordered"
    reads = Reads(teachers="none", indices=True)
    where: str = ""

    def phases(self):
        return [Phase("own", epochs=1, batch_size=4, order="selection"), Phase("mixed", epochs=1, batch_size=4),
                Phase("all", epochs=1, batch_size=25, order="selection")]

    def select(self, epoch):
        return None if epoch.phase == "all" else torch.arange(9, 0, -1)

    def losses(self, batch, student, teacher):
        with open(self.where, "a") as file:
            file.write(json.dumps([batch.step.phase, batch.indices.tolist()]) + "\\n")
        return {"ce": cross_entropy(batch, student)}
'''


def test_a_phase_may_keep_the_order_of_its_selection(lab_with, tmp_path):
    lab = lab_with(ORDERED)
    well(train_one(lab, "ordered", f"where={tmp_path / 'seen'}"))
    seen = defaultdict(list)
    for line in (tmp_path / "seen").read_text().splitlines():
        phase, indices = json.loads(line)
        seen[phase] += indices
    assert seen["own"] == list(range(9, 0, -1))
    assert seen["mixed"] != seen["own"]
    assert sorted(seen["mixed"]) == sorted(seen["own"])
    assert seen["all"] == list(range(100))


def test_an_order_that_there_is_not_is_a_mistake():
    with pytest.raises(ValueError, match="phase 'one': order is 'sorted', none of shuffled, selection"):
        Phase("one", order="sorted")


def test_reversed_gradients_have_the_other_sign():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    out = reverse_gradient(x, 0.5)
    assert torch.equal(out, x)
    (out * torch.tensor([3.0, 4.0])).sum().backward()
    assert x.grad.tolist() == [-1.5, -2.0]


# -- terms -------------------------------------------------------------------------------------------------------------

TERMS = '''
class Terms(Method):
    """Has terms that only the run makes known."""
    name = "terms"
    reads = Reads(teachers="none")

    def losses(self, batch, student, teacher):
        return {"ce": cross_entropy(batch, student), "small": 0.01 * student.logits.square().mean()}
'''


def test_without_drops_a_term_before_the_sum(lab):
    plain = well(train_one(lab, "kd"))
    dropped = well(train_one(lab, "kd", "without=kd"))
    alone = well(train_one(lab, "vanilla"))
    assert curve(lab, plain, "kd")
    assert not curve(lab, dropped, "kd")
    assert dropped.cell.variant == "without=kd"
    assert dropped.cell.key != plain.cell.key
    # What is left is cross-entropy with the weight of 0.1: not vanilla's training, yet the same first loss.
    assert curve(lab, dropped, "ce")[0] < curve(lab, alone, "ce")[0]


def test_without_what_a_method_declares_is_checked_in_the_plan(lab):
    with pytest.raises(
        UserError, match=r"unknown loss term of method 'kd' 'kdd' \(--set kd\.without\); did you mean 'kd'\?"
    ):
        lab.plan(methods=("kd",), settings=("kd.without=kdd",))


def test_without_what_a_method_does_not_declare_is_checked_in_its_first_step(lab_with):
    lab = lab_with(TERMS)
    well(train_one(lab, "terms", "without=small"))
    record = train_one(lab, "terms", "without=smal")
    assert record.status is Status.FAILED
    assert record.error_type == "MethodError"
    assert "without names the term 'smal', which 'terms' lacks (it has ce, small)" in record.error_message


# -- what comes with a batch, and when hooks are called ----------------------------------------------------------------

READER = '''
class Reader(Method):
    """Writes down what it is given."""
    name = "reader"
    reads = Reads(teachers="none", indices=True, views=("recipe", "none", "standard"), partners="same_class")
    where: str = ""
    choose: str = "all"

    def build(self, context):
        self.count = dict(before=0, after=0, step=0)
        self.targets = context.targets

    def note(self, **what):
        with open(self.where, "a") as file:
            file.write(json.dumps(what) + "\\n")

    def select(self, epoch):
        positions = torch.arange(len(epoch.targets))
        return {
            "all": None,
            "even": positions[::2],
            "nothing": positions[:0],
            "beyond": positions + 1,
            "negative": positions - 1,
            "mask": positions % 2 == 0,
            "list": positions.tolist(),
            "tail": positions[-7:],
        }[self.choose]

    def before_epoch(self, epoch):
        self.count["before"] += 1
        assert epoch.student.training
        assert epoch.predict(torch.tensor([3, 1])).shape == (2, 10)
        assert epoch.student.training
        assert torch.equal(epoch.predict(torch.tensor([3, 1])), epoch.predict()[[3, 1]])

    def losses(self, batch, student, teacher):
        assert teacher is None
        assert batch.images is batch.views[0]
        assert len(student.views) == 3 and student.views[0] is student
        assert torch.equal(batch.targets, self.targets[batch.indices])
        assert batch.partners.shape == batch.images.shape
        assert self.choose == "tail" or not torch.equal(batch.partners, batch.images)
        assert torch.equal(batch.views[0], batch.views[1])  # digits are not augmented
        self.note(indices=batch.indices.tolist())
        return {"ce": sum(F.cross_entropy(view.logits, batch.targets) for view in student.views) / 3}

    def after_step(self, batch, student, teacher):
        assert not torch.is_grad_enabled()
        self.count["step"] += 1

    def after_epoch(self, epoch):
        self.count["after"] += 1
        assert epoch.epoch == self.count["after"] - 1

    def measurements(self):
        return {f"{k}_calls": v for k, v in self.count.items()}

    def curves(self):
        return {"calls_so_far": self.count["step"]}
'''


def indices_of(path: Path) -> list[list[int]]:
    return [json.loads(line)["indices"] for line in path.read_text().splitlines()]


def test_a_method_gets_what_it_declares(lab_with, tmp_path):
    lab = lab_with(READER)
    record = well(train_one(lab, "reader", f"where={tmp_path / 'seen'}"))
    seen = indices_of(tmp_path / "seen")
    assert [len(batch) for batch in seen] == [50, 50, 50, 50]
    assert sorted(seen[0] + seen[1]) == sorted(seen[2] + seen[3]) == list(range(100))
    assert record.values["x_reader_before_calls"] == 2
    assert record.values["x_reader_after_calls"] == 2
    assert record.values["x_reader_step_calls"] == 4
    assert curve(lab, record, "calls_so_far") == [2, 4]


@pytest.mark.parametrize(("choose", "chosen"), [("even", range(0, 100, 2)), ("tail", range(93, 100))])
def test_select_says_what_an_epoch_sees(lab_with, tmp_path, choose, chosen):
    lab = lab_with(READER)
    well(train_one(lab, "reader", f"where={tmp_path / 'seen'}", f"choose={choose}", epochs=1))
    assert sorted(chain.from_iterable(indices_of(tmp_path / "seen"))) == list(chosen)
    finished = [e for e in lab.events if isinstance(e, EpochFinished)]
    assert [e.images for e in finished] == [len(chosen)]


@pytest.mark.parametrize(
    ("choose", "says"),
    [
        ("nothing", "select() chose no sample"),
        ("beyond", "select() chose position 100 of a subset of 100 samples"),
        ("negative", "select() chose position -1 of a subset of 100 samples"),
        ("mask", "select() must return positions"),
        ("list", "select() must return positions"),
    ],
)
def test_a_selection_that_is_none_fails_its_cell_alone(lab_with, tmp_path, choose, says):
    lab = lab_with(READER)
    settings = (f"reader.where={tmp_path / 'seen'}", f"reader.choose={choose}")
    records = lab.train_plan(lab.plan(methods=("reader", "vanilla"), settings=settings, scenarios=("few100",)))
    by_method = {r.cell.method: r for r in records.values() if r.cell.role == "student"}
    assert by_method["reader"].error_type == "MethodError"
    assert says in by_method["reader"].error_message
    well(by_method["vanilla"])


UNDECLARED = '''
class Curious(Method):
    """Reads what it did not declare."""
    name = "curious"
    what: str = "stages"

    def losses(self, batch, student, teacher):
        if self.what == "indices":
            assert batch.indices is None and batch.partners is None and len(batch.views) == 1
        else:
            getattr(teacher, self.what)
        return {"ce": cross_entropy(batch, student)}
'''


@pytest.mark.parametrize("what", ["stages", "pre_activations", "embedding"])
def test_taps_that_are_not_declared_are_not_there(lab_with, what):
    record = train_one(lab_with(UNDECLARED), "curious", f"what={what}")
    assert record.error_type == "AttributeError"
    assert f"'{what}' was not declared: add it to taps" in record.error_message


def test_what_is_not_declared_is_not_computed(lab_with):
    well(train_one(lab_with(UNDECLARED), "curious", "what=indices"))


BAD_PHASES = '''
class Bad(Method):
    """Its phases name what is not there."""
    name = "bad"
    reads = Reads(teachers="none")
    kind: str = "part"

    def build(self, context):
        self.chosen = self.kind  # before that nobody can tell the phases
        self.adapter = nn.Linear(2, 2)

    def phases(self):
        return {
            "part": [Phase("one", players=(Player(parts=("student.stage9",)),))],
            "method": [Phase("one", players=(Player(parts=("methd",)),))],
            "root": [Phase("one", players=(Player(parts=("teacher",)),))],
            "own": [Phase("one", players=(Player(parts=("student", "method.adaptr")),))],
            "field": [Phase("one", recipe={"mixupp": 0.2})],
            "subset": [Phase("one", subset="secret")],
            "hidden": [Phase("one", subset="private")],
            "test": [Phase("one", subset="test")],
            "recipe": [Phase("one", recipe={"lr": -1})],
        }[self.chosen]

    def losses(self, batch, student, teacher):
        return {"ce": cross_entropy(batch, student)}
'''


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("part", "phase 'one' names the part 'student.stage9', which does not exist; did you mean 'student.stage"),
        ("method", "phase 'one' names the part 'methd', which does not exist; did you mean 'method'?"),
        ("root", "phase 'one' names the part 'teacher', which does not exist (paths begin with 'student' or 'method')"),
        ("own", "names the part 'method.adaptr', which does not exist; did you mean 'method.adapter'"),
        ("field", "phase 'one' replaces 'mixupp' of the recipe, which it cannot; did you mean 'mixup'?"),
        ("subset", "no subset 'secret'"),
        ("hidden", "no subset 'private'"),
        ("test", "no subset 'test'"),
        ("recipe", "lr"),
    ],
)
def test_phases_that_ask_for_what_there_is_not(lab_with, kind, says):
    scenario = "split80" if kind == "hidden" else "few100"
    record = train_one(lab_with(BAD_PHASES), "bad", f"kind={kind}", scenarios=(scenario,))
    assert record.status is Status.FAILED
    assert says in record.error_message


# -- what comes out ----------------------------------------------------------------------------------------------------

EXITS = '''
class Two(nn.Module):
    def __init__(self, student, early):
        super().__init__()
        self.student, self.early = student, early

    def forward(self, images):
        outputs = self.student.run(images, ("stages",))
        return {"deep": outputs.logits, "early": self.early(outputs.stages[0].mean((2, 3)))}

class Exits(Method):
    """Predicts twice."""
    name = "exits"
    reads = Reads(teachers="none", taps=("stages",))
    main: str = "deep"

    def build(self, context):
        self.early = nn.Linear(context.student.stages[0][0], context.num_classes)

    def losses(self, batch, student, teacher):
        early = self.early(student.stages[0].mean((2, 3)))
        return {"ce": cross_entropy(batch, student), "early": F.cross_entropy(early, batch.targets)}

    def predictor(self, student, teachers):
        return Two(student, self.early)
'''


def test_each_output_of_a_predictor_is_measured(lab_with):
    lab = lab_with(EXITS)
    record = well(train_one(lab, "exits"))
    rows = {(row.predictor, row.split, row.metric): row.value for row in record.metrics}
    assert {predictor for predictor, _, metric in rows if metric == "top1"} == {"deep", "early"}
    assert record.values["top1"] == rows["deep", "test", "top1"]
    with np.load(lab.folder.cell(record.cell.key).predictions) as saved:
        assert set(saved) == {"logits", "logits_early", "targets"}
        for name, predictor in (("logits", "deep"), ("logits_early", "early")):
            correct = saved[name].argmax(1) == saved["targets"]
            assert correct.mean() * 100 == pytest.approx(rows[predictor, "test", "top1"], abs=0.2)
    assert len(curve(lab, record, "top1", "test", "early")) == 2
    assert record.values["student_parameters"] > 0


def validated(share: float, **rest: object) -> Benchmark:
    protocol = load("digits")
    rule = protocol.evaluation.model_copy(update={"validation": share, **rest})
    return protocol.model_copy(update={"evaluation": rule})


def test_validation_chooses_the_epoch_and_its_weights_are_deployed(lab, monkeypatch):
    """The recipe is driven off course late, so that the last epoch is not the best."""
    protocol = validated(0.2, every=1).model_copy(
        update={"recipe": load("digits").recipe.model_copy(update={"schedule": "constant", "lr": 0.4})}
    )
    kept: list[tuple[float, dict[str, torch.Tensor]]] = []
    original = CellState.keep_best

    def keep(self: CellState, accuracy: float) -> None:
        if self.method.name == "vanilla":
            kept.append((accuracy, {k: v.clone() for k, v in self.student.network.state_dict().items()}))
        original(self, accuracy)

    monkeypatch.setattr(CellState, "keep_best", keep)
    record = well(train_one(lab, "vanilla", benchmark=protocol, epochs=12))
    accuracies = [accuracy for accuracy, _ in kept]
    best = accuracies.index(max(accuracies))
    assert best < 11, "choose a recipe whose last epoch is not its best"
    assert len(accuracies) == 12
    assert record.values["selection"] == "validation"
    assert record.values["val_top1"] == accuracies[best]
    final = load_file(lab.folder.cell(record.cell.key).model)
    assert all(torch.equal(final[k], v) for k, v in kept[best][1].items())
    seen = curve(lab, record, "top1", "test", "logits")
    assert record.values["top1"] == seen[best]
    assert len(seen) == 12
    assert record.values["top1_test_oracle"] == max(seen)
    assert record.values["top1_last10"] == pytest.approx(np.mean(seen[-10:]))
    assert curve(lab, record, "top1", "validation", "logits") == accuracies


def test_without_validation_the_last_epoch_counts(lab):
    record = well(train_one(lab, "vanilla", epochs=3))
    assert record.values["selection"] == "last"
    assert record.values["top1"] == curve(lab, record, "top1", "test", "logits")[-1]
    assert "val_top1" not in record.values


# -- keeping to oneself ------------------------------------------------------------------------------------------------

OWN_TEACHER = '''
class Mover(Method):
    """Trains its teacher too."""
    name = "mover"
    private_teacher = True

    def build(self, context):
        self.mine = [context.teacher_models[0]]

    def losses(self, batch, student, teacher):
        with torch.no_grad():
            for parameter in teacher.model.parameters():
                parameter.mul_(0.9)
            self.mine[0].train()
            self.mine[0](batch.images)
            self.mine[0].eval()
        return {"ce": cross_entropy(batch, student), "l2": (student.logits - teacher.logits).square().mean()}

    def curves(self):
        return {"teacher_size": float(sum(p.abs().sum() for p in self.mine[0].parameters()))}
'''


def test_a_private_teacher_is_a_copy(lab_with):
    lab = lab_with(OWN_TEACHER)
    plan = lab.plan(methods=("mover", "kd"), scenarios=("few100",))
    records = lab.train_plan(plan)
    mover, kd = (next(r for r in records.values() if r.cell.method == m) for m in ("mover", "kd"))
    alone = lab_with(OWN_TEACHER, "alone")
    alone.train_plan(alone.plan(methods=("kd",), scenarios=("few100",)))
    well(mover)
    assert alone.bits(well(kd).cell.key) == lab.bits(kd.cell.key)
    sizes = curve(lab, mover, "teacher_size")
    assert sizes[1] == pytest.approx(sizes[0] * 0.81, rel=1e-4)


def test_a_private_teacher_is_part_of_the_checkpoint(lab_with):
    whole = lab_with(OWN_TEACHER)
    expected = well(train_one(whole, "mover"))
    broken = lab_with(OWN_TEACHER, "broken", checkpoint_seconds=0.0)
    plan = broken.plan(methods=("mover",), scenarios=("few100",))
    teacher, student = (p.cell for p in plan.cells)
    broken.train([teacher])

    def stop(event: object) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            raise KeyboardInterrupt

    broken.on_event = stop
    with pytest.raises(KeyboardInterrupt):
        broken.train([student])
    broken.on_event = lambda event: None
    broken.train([student])
    assert broken.bits(student.key)["model.safetensors"] == whole.bits(expected.cell.key)["model.safetensors"]
    assert curve(broken, expected, "teacher_size") == curve(whole, expected, "teacher_size")


RANDOM = '''
class Loud(Method):
    """Draws from every generator there is."""
    name = "loud"
    reads = Reads(teachers="none")

    def build(self, context):
        self.own = nn.Linear(10, 10)
        self.peer = [context.peer("peer")]
        self.dropout = nn.Dropout(0.5)
        torch.manual_seed(5); np.random.seed(5); random.seed(5)

    def losses(self, batch, student, teacher):
        noise = torch.randn(10) + float(np.random.rand()) + random.random()
        logits = self.dropout(student.logits) + 0.01 * noise
        return {"ce": F.cross_entropy(self.own(logits), batch.targets)}

class Fresh(Method):
    """Draws after it asked for a network."""
    name = "fresh"
    reads = Reads(teachers="none")
    ask: bool = True

    def build(self, context):
        if self.ask:
            context.peer("peer")
        self.own = nn.Linear(10, 10)
        self.register_buffer("first", self.own.weight.detach().clone())

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(self.own(student.logits), batch.targets)}

    def measurements(self):
        return {"first": float(self.first.sum())}

@hookimpl
def kdharness_models():
    class Dropping(nn.Module):
        def __init__(self, num_classes, input_shape):
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 32), nn.ReLU())
            self.classifier = nn.Linear(32, num_classes)
        def forward(self, x):
            return self.classifier(self.body(x))
    return [ModelSpec("dropping", Dropping, classifier="classifier")]
'''


def test_who_draws_random_numbers_does_not_disturb_neighbours(lab_with):
    """A model with dropout, and a method that draws from torch, NumPy and Python, and seeds them too."""
    methods = ("loud", "vanilla", "kd")
    selection = {"scenarios": ("few100",), "pairs": ("conv32:dropping", "conv32:conv16")}
    together = lab_with(RANDOM)
    plan = together.plan(methods=methods, **selection)
    records = together.train_plan(plan)
    alone = lab_with(RANDOM, "alone")
    for planned in plan.cells:
        well(records[planned.cell.key])
        alone.train([planned.cell])
        assert alone.bits(planned.cell.key) == together.bits(planned.cell.key), planned.cell.label


def test_asking_for_a_network_does_not_change_what_a_method_draws(lab_with):
    lab = lab_with(RANDOM)
    drawn = [well(train_one(lab, "fresh", f"ask={ask}")).values["x_fresh_first"] for ask in (True, False)]
    assert drawn[0] == drawn[1]


# -- recipes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        ("recipe.precision=bf16",),
        ("recipe.optimizer=adam", "recipe.lr=0.003"),
        ("recipe.optimizer=adamw", "recipe.lr=0.003", "recipe.warmup_epochs=2"),
        ("recipe.nesterov=true", "recipe.channels_last=true"),
        ("recipe.schedule=multistep", "recipe.milestones=0.5,0.75"),
    ],
)
def test_recipes_train(lab, settings):
    plan = lab.plan(methods=("kd", "fitnet"), settings=settings, scenarios=("few100",), epochs=12)
    for record in lab.train_plan(plan).values():
        well(record)
        losses = curve(lab, record, "ce")
        assert losses[-1] < 0.7 * losses[0]
        assert record.values["top1"] > 50
        assert record.values["precision"] == ("bf16" if "bf16" in settings[0] else "fp32")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"schedule": "constant"}, [1.0] * 4),
        ({"schedule": "cosine"}, [1.0, 0.5 + 0.5 * math.cos(math.pi / 4), 0.5, 0.5 + 0.5 * math.cos(0.75 * math.pi)]),
        ({"schedule": "multistep", "milestones": (0.25, 0.75), "gamma": 0.1}, [1.0, 0.1, 0.1, 0.01]),
        ({"schedule": "constant", "warmup_epochs": 3}, [0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_learning_rates(schedule, expected):
    recipe = load("digits").recipe.replaced({"lr": 1.0, **schedule})
    assert [recipe.lr_at(epoch, 4) for epoch in range(4)] == pytest.approx(expected)


def test_bf16_is_for_the_networks_alone(lab_with):
    source = '''
class Types(Method):
    """Looks at the types."""
    name = "types"
    reads = Reads(taps=("stages", "embedding"))

    def losses(self, batch, student, teacher):
        for one in (student, teacher):
            assert {t.dtype for t in (one.logits, one.embedding, *one.stages)} == {torch.float32}
        assert student._taps["stages"][-1].dtype is torch.bfloat16
        assert not torch.is_autocast_enabled("cpu")
        return {"ce": cross_entropy(batch, student)}
'''
    well(train_one(lab_with(source), "types", benchmark=load("digits").model_copy(
        update={"recipe": load("digits").recipe.replaced({"precision": "bf16"})}
    )))  # fmt: skip
