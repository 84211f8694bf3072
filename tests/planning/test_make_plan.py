"""From a benchmark and a selection to a plan, and how mistakes are told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection, parse_settings
from kdharness.protocol.benchmark import Benchmark, load, parse
from kdharness.registry.manager import Registry

CONTENT: dict[str, Any] = {
    "name": "small",
    "datasets": ["digits"],
    "pairs": ["conv8:conv4"],
    "seeds": [0],
    "recipe": {"epochs": 2},
}


def made(**changes: Any) -> Benchmark:
    return parse({**CONTENT, **changes}, "small.toml")


def plan_of(registry: Registry, benchmark: str | Benchmark = "digits", **selection: Any) -> Plan:
    protocol = load(benchmark) if isinstance(benchmark, str) else benchmark
    return make_plan(protocol, Selection(**selection), registry)


def students(plan: Plan, method: str | None = None) -> list[Cell]:
    return [p.cell for p in plan.cells if p.cell.role == "student" and method in (None, p.cell.method)]


def error_of(registry: Registry, benchmark: str | Benchmark = "digits", **selection: Any) -> str:
    with pytest.raises(UserError) as caught:
        plan_of(registry, benchmark, **selection)
    return str(caught.value)


@pytest.fixture
def registry_with(tmp_path: Path):
    """A registry with what a piece of source adds."""

    def make(source: str) -> Registry:
        file = tmp_path / "extra.py"
        file.write_text("import torch\nfrom torch import nn\nfrom kdharness.api import *\n" + source)
        return Registry.load([file])

    return make


# -- the default benchmark ---------------------------------------------------------------------------------------------


def test_digits(registry):
    plan = plan_of(registry)
    own = [p for p in plan.cells if p.cell.scenario == "few100"]
    counts = Counter((p.cell.role, p.cell.method) for p in own)
    assert counts["teacher", "vanilla"] == 1
    assert counts["student", "vanilla"] == counts["student", "kd"] == 5
    for method in registry.methods:
        assert students(plan, method), f"{method} has no cell"
    # Of equal channels, of stems, of a distillation token: the pair of this benchmark has none.
    assert {p.cell.method for p in own if p.skip} == {"deit", "fsp", "kdsvd"}
    assert plan.metrics == tuple(name for name, metric in registry.metrics.items() if not metric.spec.on_request)
    # Their first phases come on top of the recipe, as in the published code.
    lengths = {line.split("'")[1]: line.split("trains for ")[1].split()[0] for line in plan.warnings}
    assert lengths == {"ab": "1.125", "fsp": "1.125", "ft": "1.125", "padl2": "1.3", "sskd": "1.25"}
    assert {c.deviations for c in students(plan)} == {""}


def test_metrics_on_request_are_named(registry):
    usual = plan_of(registry).metrics
    assert {"weight_noise", "class_separation", "gradient_norm"}.isdisjoint(usual)
    asked = load("digits").model_copy(update={"metrics": ("all", "weight_noise", "top1")})
    assert plan_of(registry, asked).metrics == (*usual, "weight_noise")
    asked = load("digits").model_copy(update={"metrics": ("weight_noise",)})
    assert plan_of(registry, asked).metrics == ("weight_noise",)
    with pytest.raises(UserError, match=r"unknown metric 'wait_noise' \(benchmark 'digits'\)"):
        plan_of(registry, load("digits").model_copy(update={"metrics": ("all", "wait_noise")}))


def test_what_is_required_comes_first(registry):
    for name in ("digits", "digits-cross"):
        seen: set[str] = set()
        for planned in plan_of(registry, name).cells:
            assert set(planned.cell.requires) <= seen
            assert planned.cell.key not in seen
            seen.add(planned.cell.key)


def test_methods_without_a_teacher_run_once_per_student(registry):
    pairs = ("conv32:conv16", "conv64:conv16", "conv32:conv8")
    plan = plan_of(registry, methods=("vanilla", "kd"), pairs=pairs, seeds=(0, 1))
    assert [(c.student, c.seed) for c in students(plan, "vanilla")] == [
        ("conv16", 0), ("conv16", 1), ("conv8", 0), ("conv8", 1),
    ]  # fmt: skip
    assert len(students(plan, "kd")) == 6
    assert sorted(p.cell.student for p in plan.cells if p.cell.role == "teacher") == ["conv32", "conv64"]


def test_several_teachers(registry):
    plan = plan_of(registry, methods=("kd",), pairs=("conv32+conv8:conv16",), seeds=(0,))
    (student,) = students(plan)
    assert student.teacher == "conv32+conv8"
    assert student.regime == "several_teachers"
    assert [self.cell.student for self in plan.cells] == ["conv32", "conv8", "conv16"]


def test_teachers_have_their_own_recipe(registry):
    plan = plan_of(registry, methods=("kd",), seeds=(0,))
    protocol = load("digits")
    assert plan.cells[0].cell.recipe["epochs"] == protocol.teacher["epochs"]
    assert plan.cells[1].cell.recipe["epochs"] == protocol.recipe.epochs
    # What the command line sets holds for both: it would not be what was asked for otherwise.
    short = plan_of(registry, methods=("kd",), seeds=(0,), epochs=3)
    assert [p.cell.recipe["epochs"] for p in short.cells] == [3, 3]


# -- reasons to skip ---------------------------------------------------------------------------------------------------

BARE = '''
class Bare(nn.Module):
    """A network that declares nothing."""
    def __init__(self, num_classes, input_shape):
        super().__init__()
        self.fc = nn.Linear(input_shape[0] * input_shape[1] * input_shape[2], num_classes)
    def forward(self, x):
        return self.fc(x.flatten(1))

class Large(nn.Module):
    """A network for images of 32x32 alone."""
    def __init__(self, num_classes, input_shape):
        super().__init__()
        self.fc = nn.Linear(1024, num_classes)
    def forward(self, x):
        return self.fc(x.flatten(1))

class Concrete(Bare):
    """A network whose making looks at numbers, which the meta device does not have."""
    def __init__(self, num_classes, input_shape):
        super().__init__(num_classes, input_shape)
        self.rates = [float(rate) for rate in torch.linspace(0, 1, 3)]

def unmakeable(num_classes, input_shape):
    raise RuntimeError("no\\nsuch   thing")

@hookimpl
def kdharness_models():
    return [ModelSpec("bare", Bare), ModelSpec("large", Large, classifier="fc"), ModelSpec("concrete", Concrete),
            ModelSpec("unmakeable", unmakeable), ModelSpec("liar", Bare, stages=("nowhere",))]
'''


def reasons(plan: Plan) -> dict[str, str]:
    return {p.cell.label: p.skip for p in plan.cells if p.skip}


def test_a_method_that_reads_what_a_model_does_not_declare(registry_with):
    plan = plan_of(registry_with(BARE), methods=("at", "kd", "pkt"), pairs=("conv32:bare",), seeds=(0,))
    assert reasons(plan) == {
        "at conv32:bare digits few100 seed 0": "reads stages of the student, which model 'bare' does not declare",
        "pkt conv32:bare digits few100 seed 0": "reads embedding of the student, which model 'bare' does not declare",
    }


def test_a_torchvision_model_without_stages(registry):
    plan = plan_of(
        registry,
        methods=("at",),
        pairs=("torchvision_vit_b_16:torchvision_resnet18",),
        datasets=("digits",),
        seeds=(0,),
    )
    assert any("torchvision_vit_b_16" in reason for reason in reasons(plan).values())


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("large", "model 'large' cannot take 1x8x8 images: "),
        ("unmakeable", "model 'unmakeable' cannot take 1x8x8 images: no such thing"),
        ("liar", "model 'liar' cannot take 1x8x8 images: model 'liar' declares 'nowhere', but has no such submodule"),
    ],
)
def test_a_model_that_cannot_be_built_for_the_data(registry_with, model, says):
    plan = plan_of(registry_with(BARE), methods=("vanilla", "kd"), pairs=(f"conv8:{model}",), seeds=(0,))
    found = reasons(plan)
    assert len(found) == 2
    for reason in found.values():
        assert reason.startswith(says)
        assert "\n" not in reason


def test_students_of_a_teacher_that_cannot_be_built_are_skipped(registry_with):
    plan = plan_of(registry_with(BARE), methods=("vanilla", "kd"), pairs=("large:conv8",), seeds=(0, 1))
    found = reasons(plan)
    assert "teacher vanilla large digits few100 seed 0" in found
    for seed in (0, 1):
        reason = found[f"kd large:conv8 digits few100 seed {seed}"]
        assert reason.startswith("teacher vanilla large digits few100 seed 0 will not run: model 'large' cannot take")
    assert len(found) == 3  # the student on labels alone runs


def test_a_model_that_only_the_meta_device_cannot_hold_is_planned(registry_with):
    plan = plan_of(registry_with(BARE), methods=("vanilla", "kd"), pairs=("concrete:conv8",), seeds=(0,))
    assert reasons(plan) == {}


def test_a_method_that_says_why_it_cannot_serve(registry):
    plan = plan_of(registry, methods=("fitnet",), seeds=(0,), settings=("fitnet.hint_stage=7",))
    assert list(reasons(plan).values()) == ["hint_stage is 7, but 'conv16' has stages 0 to 2"]


FAULTY = '''
from torch.nn import functional as F

class Plain(Method):
    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

class Unmade(Plain):
    """Cannot be made."""
    name = "unmade"
    def __init__(self, **parameters):
        raise ValueError("not\\ntoday")

class Demanding(Plain):
    """Cannot say what it requires."""
    name = "demanding"
    def requires(self, pair):
        return [1 / 0]

class Elsewhere(Plain):
    """Requires a model that nobody provides."""
    name = "elsewhere"
    def requires(self, pair):
        return [Requirement("conv33")]

class Wrong(Plain):
    """Requires a method with a parameter that it does not have."""
    name = "wrong"
    def requires(self, pair):
        return [Requirement("conv8", method="kd", parameters={"temprature": 2}, teachers=(Requirement("conv32"),))]

class Refuses(Plain):
    """Its skip raises."""
    name = "refuses"
    def skip(self, context):
        raise KeyError("x")

class Vague(Plain):
    """Cannot say what its loss terms are."""
    name = "vague"
    @property
    def terms(self):
        return {"ce": self.nothing}

class Makes(Plain):
    """Cannot say what networks it makes."""
    name = "makes"
    def networks(self, pair):
        return [pair.peer]

class Nowhere(Plain):
    """Needs a scenario that does not exist."""
    name = "nowhere"
    needs_scenario = "spilt80"

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(m) for m in (Unmade, Demanding, Elsewhere, Wrong, Refuses, Vague, Makes, Nowhere)]
'''


def test_a_faulty_method_does_not_stop_the_plan_of_the_others(registry_with):
    registry = registry_with(FAULTY)
    plan = plan_of(registry, made(), methods=("all",))
    found = {p.cell.method: p.skip for p in plan.cells if p.cell.role == "student"}
    assert found["kd"] == ""
    assert found["unmade"] == "method 'unmade' cannot be made: ValueError: not today"
    assert found["demanding"].startswith("method 'demanding' failed in requires(): ZeroDivisionError: ")
    assert "unknown model 'conv33'; did you mean" in found["elsewhere"]
    assert "unknown parameter of method 'kd' 'temprature'" in found["wrong"]
    assert found["vague"].startswith("method 'vague' cannot be made: AttributeError: ")
    assert found["makes"].startswith("method 'makes' failed in networks(): AttributeError: ")
    assert found["refuses"] == ""  # it is planned, and fails with its traceback
    assert found["nowhere"] == ""
    assert [w for w in plan.warnings if "nowhere" in w] == [
        "method 'nowhere' does not get the scenario that it needs: unknown scenario 'spilt80' (needs_scenario); did you"
        " mean 'split80'?"
    ]


# -- unknown names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        ({"methods": ("kdd",)}, "unknown method 'kdd' (--methods); did you mean 'kd'"),
        ({"skip": ("fitnets",)}, "unknown method 'fitnets' (--skip); did you mean 'fitnet'?"),
        ({"pairs": ("conv33:conv16",)}, "unknown model 'conv33' (--pairs); did you mean 'conv32'"),
        ({"pairs": ("conv32:conv61",)}, "unknown model 'conv61' (--pairs); did you mean 'conv"),
        ({"pairs": ("conv32",)}, "--pairs: 'conv32' is not of the form teacher:student"),
        ({"datasets": ("kd",)}, "unknown dataset 'kd' (--datasets); there is a method of this name"),
        ({"methods": ("top1",)}, "unknown method 'top1' (--methods); there is a metric of this name"),
        ({"pairs": ("conv32:adam",)}, "unknown model 'adam' (--pairs); there is an optimizer of this name"),
        ({"datasets": ("digit",)}, "unknown dataset 'digit' (--datasets); did you mean 'digits'?"),
        ({"scenarios": ("few0",)}, "unknown scenario 'few0' (--scenarios); did you mean 'few100'?"),
        ({"scenarios": ("nosie40",)}, "unknown scenario 'nosie40' (--scenarios); did you mean 'noise40'"),
        (
            {"settings": ("kd.temprature=2",)},
            "unknown parameter of method 'kd' 'temprature' (--set kd.temprature); did you mean 'temp",
        ),
        ({"settings": ("kd.temperature=hot",)}, "method 'kd': parameter 'temperature': 'hot' is not a valid float: "),
        ({"settings": ("recipe.lrr=2",)}, "unknown recipe field 'lrr' (--set recipe.lrr); did you mean 'lr'?"),
        ({"settings": ("recipe.lr=fast",)}, "--set recipe.lr=fast: recipe.lr = 'fast': input should be a valid number"),
        (
            {"settings": ("recipe.optimizer=sdg",)},
            "unknown optimizer 'sdg' (--set recipe.optimizer); did you mean 'sgd'?",
        ),
        (
            {"settings": ("dk.temperature=2",)},
            "unknown method, dataset, model, optimizer, 'recipe' or 'student' 'dk' (--set dk.temperature); did you",
        ),
        ({"settings": ("temperature=2",)}, "--set temperature=2: not of the form method.parameter=value"),
        ({"settings": ("kd.temperature",)}, "--set kd.temperature: not of the form method.parameter=value"),
        ({"epochs": 0}, "--epochs 0: recipe.epochs = 0: input should be greater than or equal to 1"),
        (
            {"methods": ("vanilla",), "settings": ("kd.temperature=2",)},
            "--set kd.temperature: method 'kd' is not among those that run",
        ),
    ],
)
def test_what_is_wrong_on_the_command_line_is_told_in_one_line(registry, selection, says):
    message = error_of(registry, **selection)
    assert message.startswith(says)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"run": ["kdd"]}, "unknown method 'kdd' (benchmark 'small'); did you mean 'kd'"),
        ({"datasets": ["digit"]}, "unknown dataset 'digit' (benchmark 'small'); did you mean 'digits'?"),
        ({"pairs": ["conv8:conv5"]}, "unknown model 'conv5' (benchmark 'small'); did you mean 'conv"),
        ({"scenarios": ["cleen"]}, "unknown scenario 'cleen' (benchmark 'small'); did you mean 'clean'?"),
        ({"metrics": ["top2"]}, "unknown metric 'top2' (benchmark 'small'); did you mean 'top"),
        (
            {"methods": {"kd": {"temprature": 2}}},
            "unknown parameter of method 'kd' 'temprature' (benchmark 'small'); did",
        ),
        ({"dataset": {"digits": {"size": 2}}}, "unknown parameter of dataset 'digits' 'size' (benchmark 'small'); "),
    ],
)
def test_what_a_benchmark_names_must_be_known(registry, changes, says):
    assert error_of(registry, made(**changes)).startswith(says)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"methods": {"kdd": {"temperature": 2}}}, "unknown method 'kdd' (benchmark 'small'); did you mean 'kd'"),
        ({"models": {"conv5": {"lr": 0.1}}}, "unknown model 'conv5' (benchmark 'small'); did you mean 'conv"),
        ({"dataset": {"digit": {}}}, "unknown dataset 'digit' (benchmark 'small'); did you mean 'digits'?"),
        ({"references": ["vanila"]}, "unknown method 'vanila' (benchmark 'small'); did you mean 'vanilla'?"),
    ],
)
def test_what_a_benchmark_says_of_unknown_names_is_warned_of(registry, changes, says):
    # Of every method, some warn of their length.
    warnings = [line for line in plan_of(registry, made(**changes)).warnings if "of the recipe's epochs" not in line]
    assert len(warnings) == 1
    assert warnings[0].startswith(says)


def test_parameters_by_pair(registry):
    tables = {"kd": {"temperature": 3, "pairs": {" conv8 : conv4": {"temperature": 5}}}}
    plan = plan_of(registry, made(methods=tables, pairs=["conv8:conv4", "conv16:conv4"]), methods=("kd",))
    assert {c.teacher: (c.parameters["temperature"], c.variant) for c in students(plan)} == {
        "conv8": (5.0, ""), "conv16": (3.0, ""),
    }  # fmt: skip


# -- nothing left ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        ({"methods": ()}, "no method is left: --methods names none"),
        ({"methods": ("kd",), "skip": ("kd",)}, "no method is left: --skip takes them all away"),
        ({"pairs": ()}, "no pair is left: --pairs names none"),
        ({"datasets": ()}, "no dataset is left: --datasets names none"),
        ({"scenarios": ()}, "no scenario is left: --scenarios names none"),
    ],
)
def test_an_empty_matrix_names_what_emptied_it(registry, selection, says):
    assert error_of(registry, **selection) == says


def test_settings_keep_what_stands_after_the_first_signs():
    assert parse_settings(("a.b.c=d=e", "a.x= 1 ")) == {"a": {"b.c": "d=e", "x": "1"}}


# -- deviations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "deviations"),
    [
        ({}, {"vanilla": "", "kd": ""}),
        ({"seeds": (9,)}, {"vanilla": "", "kd": ""}),
        ({"settings": ("kd.temperature=2",)}, {"vanilla": "", "kd": ""}),  # a variant, with a row of its own
        ({"epochs": 3}, {"vanilla": "recipe.epochs=3", "kd": "recipe.epochs=3"}),
        (
            {"settings": ("recipe.lr=0.3", "recipe.milestones=0.5,0.6")},
            dict.fromkeys(("vanilla", "kd"), "recipe.lr=0.3; recipe.milestones=0.5,0.6"),
        ),
        ({"scenarios": ("noise40",)}, dict.fromkeys(("vanilla", "kd"), "scenario=noise40")),
        ({"pairs": ("conv64:conv16",)}, {"vanilla": "", "kd": "pair=conv64:conv16"}),
        ({"pairs": ("conv32:conv8",)}, {"vanilla": "student=conv8", "kd": "pair=conv32:conv8"}),
    ],
)
def test_what_departs_from_the_benchmark_says_so(registry, selection, deviations):
    plan = plan_of(registry, **{"methods": ("vanilla", "kd"), "seeds": (0,), **selection})
    assert {c.method: c.deviations for c in students(plan)} == deviations


def test_another_dataset_departs(registry_with):
    registry = registry_with(DATASET)
    plan = plan_of(registry, datasets=("blank",), methods=("vanilla",), seeds=(0,), scenarios=("few100",))
    assert students(plan)[0].deviations == "dataset=blank"


DATASET = """
import numpy as np

def describe(request):
    return DatasetInfo(f"blank{request.parameters['level']}", 2, (1, 8, 8), 10)

def load(request):
    split = Split(np.zeros((10, 1, 8, 8), np.uint8), np.arange(10) % 2)
    return ImageDataset({"train": split, "test": split}, ("a", "b"), (0.0,), (1.0,))

@hookimpl
def kdharness_datasets():
    parameters = (Parameter("level", int, 0), Parameter("path", str, ""))
    return [DatasetSpec("blank", describe, load, parameters=parameters, local_parameters=("path",))]
"""


def test_what_a_dataset_warns_of_is_a_warning_of_the_plan(registry_with):
    odd = DATASET.replace("(1, 8, 8), 10)", "(1, 8, 8), 10, ('one image twice', 'no labels'))")
    plan = plan_of(registry_with(odd), datasets=("blank",), methods=("vanilla",))
    assert [line for line in plan.warnings if "blank" in line] == [
        "dataset 'blank': one image twice",
        "dataset 'blank': no labels",
    ]


def test_a_note_is_of_the_benchmarks_own_data(registry_with):
    registry = registry_with(DATASET)
    said = load("digits").note
    assert said
    notes = [plan_of(registry, datasets=names).note for names in (None, ("digits",), ("digits", "blank"), ("blank",))]
    assert notes == [said, said, said, ""]


def test_a_datasets_parameters_depart_where_they_say_what_it_is(registry_with):
    registry = registry_with(DATASET)
    protocol = made(datasets=["blank"], dataset={"blank": {"level": 1}})
    plain = students(plan_of(registry, protocol, methods=("vanilla",)))[0]
    same = students(plan_of(registry, protocol, methods=("vanilla",), settings=("blank.level=1", "blank.path=/x")))[0]
    other = students(plan_of(registry, protocol, methods=("vanilla",), settings=("blank.level=2",)))[0]
    assert (plain.key, plain.deviations) == (same.key, "")
    assert same.deviations == ""
    assert other.deviations == "blank.level=2"
    assert other.protocol != plain.protocol


# -- scenarios that methods bring with them ----------------------------------------------------------------------------

NEEDY = '''
from torch.nn import functional as F

class Needy(Method):
    """Learns from wrong labels."""
    name = "needy"
    needs_scenario = "noise40"
    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Needy)]
'''


def where(plan: Plan) -> set[tuple[str, str]]:
    return {(c.method, c.scenario) for c in students(plan)}


def test_a_method_brings_its_scenario_and_the_references(registry_with):
    plan = plan_of(registry_with(NEEDY), methods=("vanilla", "kd", "at", "needy"), seeds=(0,))
    assert where(plan) == {
        ("vanilla", "few100"), ("kd", "few100"), ("at", "few100"),
        ("vanilla", "noise40"), ("kd", "noise40"), ("needy", "noise40"),
    }  # fmt: skip
    assert {c.deviations for c in students(plan)} == {""}
    assert {c.regime for c in students(plan) if c.scenario == "noise40"} == {"noisy_labels"}


def test_a_scenario_of_the_same_kind_will_do(registry_with):
    plan = plan_of(registry_with(NEEDY), methods=("at", "needy"), scenarios=("noise20", "clean"), seeds=(0,))
    assert where(plan) == {("at", "noise20"), ("at", "clean"), ("needy", "noise20")}


def test_a_method_that_a_filter_leaves_without_its_scenario_is_not_left_out_silently(registry_with):
    registry = registry_with(NEEDY)
    plan = plan_of(registry, methods=("at", "needy"), scenarios=("clean",), seeds=(0,))
    line = "method 'needy' is left out: it needs a scenario like 'noise40' (--scenarios)"
    assert where(plan) == {("at", "clean")}
    assert plan.warnings == (line,)
    assert error_of(registry, methods=("needy",), scenarios=("clean",)) == f"nothing is left to run: {line}"


# -- clashes -----------------------------------------------------------------------------------------------------------

CLASH = '''
from torch.nn import functional as F

class KD(Method):
    """Another one of this name."""
    name = "kd"
    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(KD)]
'''


def test_a_name_that_two_plugins_claim(registry_with):
    registry = registry_with(CLASH)
    assert error_of(registry, methods=("kd",)).startswith("method 'kd' (--methods) is claimed twice, by kdharness")
    plan = plan_of(registry, methods=("all",), seeds=(0,))
    assert not students(plan, "kd")
    assert "method 'kd' is claimed by two plugins and left out; see kdharness list plugins" in plan.warnings


# -- files that stand for teachers -------------------------------------------------------------------------------------

CHAIN = '''
from torch.nn import functional as F

class Chain(Method):
    """Learns from an assistant of the teacher's architecture, and from the teacher."""
    name = "chain"
    reads = Reads(teachers="many")
    def requires(self, pair):
        teacher = Requirement(pair.teachers[0])
        return [teacher, Requirement(pair.teachers[0], method="kd", teachers=(teacher,), same_seed=True)]
    def losses(self, batch, student, teachers):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Chain)]
'''


def test_a_file_stands_for_the_teacher_on_labels_and_for_no_other(registry_with, tmp_path):
    file = tmp_path / "teacher.pt"
    file.write_bytes(b"whatever: a plan does not read it")
    plan = plan_of(registry_with(CHAIN), methods=("chain",), teachers=(str(file),), seeds=(0, 1))
    assistants = [p.cell for p in plan.cells if p.cell.role == "teacher"]
    assert [(c.method, c.seed, bool(c.teachers[0].sha256)) for c in assistants] == [("kd", 0, True), ("kd", 1, True)]
    for cell, assistant in zip(students(plan), assistants, strict=True):
        assert [bool(t.sha256) for t in cell.teachers] == [True, False]
        assert cell.requires == (assistant.key,)


# -- what plugins declare ----------------------------------------------------------------------------------------------

DECLARED = """
class Tagged(Method):
    name = "tagged"
    terms = {"ce": "task", "d": "distil"}
    def losses(self, batch, student, teacher):
        return {"ce": batch.task_loss(student.logits)}

class Net(nn.Sequential):
    def __init__(self, classes, shape, **given):
        super().__init__(nn.Flatten(), nn.Linear(64, classes))

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Tagged)]

@hookimpl
def kdharness_models():
    for name in ("lr", "weights", "new_classifier"):
        yield ModelSpec(f"net_{name}", Net, parameters=(Parameter(name, float, 0.1),))

@hookimpl
def kdharness_metrics():
    yield MetricSpec("odd", lambda e: {"odd": 1.0}, splits=("trian",), hidden=("corupted",))
    yield MetricSpec("odder", lambda e: {"odder": 1.0}, splits=("xyz",), on_request=True)
"""


def test_words_that_plugins_declare_and_nobody_knows(registry_with):
    registry = registry_with(DECLARED)
    plan = plan_of(registry, methods=("tagged",), pairs=("conv8:conv4",), seeds=(0,), scenarios=("clean",))
    assert list(reasons(plan).values()) == [
        "method 'tagged' cannot be made: ValueError: its term 'd' has the tag 'distil', "
        "which is none of task, distill, player"
    ]
    assert plan.warnings == (
        "metric 'odd' is never measured: its splits has 'trian'; did you mean 'train'?",
        "metric 'odd' is never measured: its hidden has 'corupted'; did you mean 'corrupted'?",
    )


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("lr", "a field of the recipe"),
        ("weights", "what every model's table may hold"),
        ("new_classifier", "what every model's table may hold"),
    ],
)
def test_a_models_parameter_that_nobody_could_set(registry_with, name, whose):
    pairs = (f"conv8:net_{name}",)
    plan = plan_of(registry_with(DECLARED), methods=("kd",), pairs=pairs, seeds=(0,), scenarios=("clean",))
    says = f"model 'net_{name}' calls a parameter '{name}', which is {whose}: it needs another name"
    assert set(reasons(plan).values()) == {says}
