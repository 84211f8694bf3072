"""What a cell's key depends on, and what it does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kdharness.api.parameters import Parameter
from kdharness.errors import UserError
from kdharness.planning import cell as cell_module, make_plan
from kdharness.planning.cell import Cell, canonical, digest
from kdharness.planning.neutral import model_part
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import Benchmark, load, parse
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.seeds import stream
from kdharness.registry.manager import Registry

PLUGIN = '''
import torch.nn.functional as F
from kdharness.api import Method, MethodSpec, hookimpl

class Smoothed(Method):
    """A method in a file."""
    name = "smoothed"
    weight: float = 0.5

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Smoothed)]
'''


def plan_of(registry: Registry, benchmark: str | Benchmark = "digits", **selection: object) -> Plan:
    given = {"seeds": (0,), "methods": ("vanilla", "kd"), **selection}
    protocol = load(benchmark) if isinstance(benchmark, str) else benchmark
    return make_plan(protocol, Selection(**given), registry)  # type: ignore[arg-type]


def keys(plan: Plan) -> set[str]:
    return {p.cell.key for p in plan.cells}


def student(plan: Plan, method: str = "kd") -> Cell:
    return next(p.cell for p in plan.cells if p.cell.method == method and p.cell.role == "student")


def changed(benchmark: str = "digits", **fields: Any) -> Benchmark:
    return load(benchmark).model_copy(update=fields)


# -- the digest --------------------------------------------------------------------------------------------------------

DOCUMENT = {
    "schema": 1,
    "name": "kd",
    "parameters": {"temperature": 4.0, "weight": 0.9, "stages": (0, 2), "note": "a\u00e4\n", "on": True, "none": None},
    "nested": [{"b": 1, "a": [1.5, -0.0, 1e20]}],
}


def test_golden_digest():
    """If this number changes, every record on every disk is lost."""
    assert digest(DOCUMENT) == "ab4b754b276bc4e06017"
    assert digest(DOCUMENT, 12) == digest(DOCUMENT)[:12]


def test_canonical_text():
    assert canonical({"b": 4.0, "a": (1, 2.5)}) == '{"a":[1,2.5],"b":4}'
    assert canonical({"x": -0.0}) == canonical({"x": 0})
    assert canonical({"x": True}) != canonical({"x": 1})
    assert canonical({"x": "4"}) != canonical({"x": 4})


def test_order_and_number_types_do_not_matter():
    one = {"a": 4, "b": {"x": [1, 2.0], "y": "z"}}
    other = {"b": {"y": "z", "x": (1.0, 2)}, "a": 4.0}
    assert digest(one) == digest(other)


def test_no_number_without_a_value_gets_into_a_key():
    with pytest.raises(ValueError, match="JSON"):
        canonical({"x": float("nan")})


def test_nan_is_no_value_and_infinity_is_one_where_nothing_limits_it(registry):
    for value in ("nan", "inf"):
        with pytest.raises(UserError, match=r"method 'kd': parameter 'temperature': .* finite"):
            plan_of(registry, settings=(f"kd.temperature={value}",))
        with pytest.raises(UserError, match=rf"--set recipe\.lr={value}: recipe\.lr = '{value}': "):
            plan_of(registry, settings=(f"recipe.lr={value}",))
    free = Parameter("free", float, 1.0)
    with pytest.raises(ValueError, match="nan is not a number"):
        free.canonical("nan")
    assert free.canonical("inf") == "inf"
    assert free.coerce("inf") == float("inf")


def test_golden_streams():
    """They seed every batch, view and weight there is."""
    assert stream("batches", "train", 64, 0, 0) == 4664139269339578339
    assert stream("a", "b") != stream("b", "a")
    assert stream("a", 1) != stream("a", "1")
    assert stream("ab", "c") != stream("a", "bc")
    assert all(0 <= stream("x", n) < 2**63 for n in range(100))


GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("protocol", ["methods", "networks", "precision"])
def test_golden_keys(protocol):
    """Of every cell whose weights are golden too: the last word of its label there."""
    plan = make_plan(load(str(GOLDEN / f"{protocol}.toml")), Selection(), Registry.load([GOLDEN / "weight_digest.py"]))
    labels = json.loads((GOLDEN / "weights.json").read_text(encoding="utf-8"))["cells"][protocol]
    assert keys(plan) == {label.split()[-1] for label in labels}


# -- the document ------------------------------------------------------------------------------------------------------


def leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{number}]")
    else:
        yield path


SHAPE = """
dataset.identity
dataset.name
dataset.parameters
dataset.plugin.package
dataset.plugin.revision
evaluation.every
evaluation.split
evaluation.validation
method.name
method.parameters.ce_weight
method.parameters.temperature
method.parameters.weight
method.plugin.package
method.plugin.revision
method.without
numerics
optimizers.sgd.parameters
optimizers.sgd.plugin.package
optimizers.sgd.plugin.revision
recipe.augmentation
recipe.batch_size
recipe.channels_last
recipe.epochs
recipe.gamma
recipe.lr
recipe.milestones
recipe.momentum
recipe.nesterov
recipe.optimizer
recipe.precision
recipe.schedule
recipe.warmup_epochs
recipe.weight_decay
role
scenario.images
scenario.kind
scenario.seed
schema
seed
student.name
student.plugin.package
student.plugin.revision
subset
teachers[0].name
teachers[0].plugin.package
teachers[0].plugin.revision
teachers[0].source
views.standard.package
views.standard.revision
"""


def test_shape_of_the_document(registry):
    """A field that is forgotten, or added without thought of old records, is noticed here."""
    assert sorted(leaves(student(plan_of(registry)).document)) == SHAPE.split()


def test_document_of_the_default_benchmark(registry):
    cell = student(plan_of(registry, seeds=(3,)))
    document = cell.document
    assert document["recipe"] == model_part(load("digits").recipe)
    assert "mixup" not in document["recipe"]  # neutral
    assert document["scenario"] == {"kind": "few", "images": 100, "seed": 0}
    assert document["method"]["name"] == "kd"
    assert document["method"]["plugin"] == {"package": "kdharness", "revision": 1}
    assert document["seed"] == 3
    teacher = plan_of(registry, methods=("kd",)).cells[0].cell
    assert teacher.role == "teacher"
    assert document["teachers"][0]["source"] == teacher.key == cell.requires[0]
    assert cell.key == digest(document)
    assert len(cell.key) == 20


def test_cells_survive_the_way_to_disk(registry):
    plan = plan_of(registry, settings=("kd.temperature=2",))
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert [p.cell.key for p in again.cells] == [digest(p.cell.document) for p in again.cells]


# -- what does not matter ----------------------------------------------------------------------------------------------


def test_the_order_of_arguments_does_not_matter(registry):
    pairs = ("conv32:conv16", "conv16:conv8")
    one = plan_of(registry, methods=("kd", "at", "vanilla"), seeds=(0, 1, 2), pairs=pairs, scenarios=("clean", "few50"))
    other = plan_of(
        registry, methods=("vanilla", "at", "kd"), seeds=(2, 0, 1), pairs=pairs[::-1], scenarios=("few50", "clean")
    )
    assert keys(one) == keys(other)


def test_the_order_of_settings_and_of_tables_does_not_matter(registry):
    settings = ("kd.temperature=2", "kd.weight=0.5", "recipe.lr=0.1", "recipe.momentum=0.8")
    assert keys(plan_of(registry, settings=settings)) == keys(plan_of(registry, settings=settings[::-1]))
    content = {"name": "b", "datasets": ["digits"], "pairs": ["conv8:conv4"], "recipe": {"epochs": 3, "lr": 0.1}}
    turned = {**dict(reversed(content.items())), "recipe": {"lr": 0.1, "epochs": 3}}
    assert keys(plan_of(registry, parse(content, "x"))) == keys(plan_of(registry, parse(turned, "x")))


def test_other_cells_beside_it_do_not_matter(registry):
    alone = student(plan_of(registry, methods=("kd",)))
    assert alone.key in keys(plan_of(registry, methods=("all",), seeds=(0, 1), scenarios=("few100", "clean")))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "another"},
        {"summary": "words", "note": "more"},
        {"metrics": ("top1", "nll")},
        {"metrics": ("all", "weight_noise", "class_separation", "gradient_norm")},
        {"references": ("kd",)},
        {"run": ("kd",)},
        {"seeds": (0, 7)},
        {"teacher_top1_floor": 50.0},
        {"pairs": ()},
    ],
)
def test_what_says_nothing_of_training_is_not_in_the_key(registry, fields):
    plain = plan_of(registry, pairs=("conv32:conv16",))
    assert keys(plan_of(registry, changed(**fields), pairs=("conv32:conv16",))) == keys(plain)


def test_where_data_lies_and_whether_it_is_fetched_is_not_in_the_key(registry, tmp_path):
    assert keys(plan_of(registry, data_root=tmp_path, download=True)) == keys(plan_of(registry))


def test_a_release_is_not_in_the_key(registry, monkeypatch):
    import kdharness

    before = keys(plan_of(registry))
    monkeypatch.setattr(kdharness, "__version__", "9.9.9")
    assert keys(plan_of(registry)) == before
    text = canonical(student(plan_of(registry)).document)
    for word in ("device", "workers", "metrics", "version", "deviations", "group"):
        assert f'"{word}"' not in text


def test_the_default_given_by_hand_is_the_default(registry):
    plain = student(plan_of(registry))
    for text in ("4", "4.0", " 4e0"):
        given = student(plan_of(registry, settings=(f"kd.temperature={text}",)))
        assert (given.key, given.variant, given.deviations) == (plain.key, "", "")
    lr = load("digits").recipe.lr
    given = student(plan_of(registry, settings=(f"recipe.lr={lr}",)))
    assert (given.key, given.deviations) == (plain.key, "")


def test_a_scenarios_name_does_not_matter_but_its_definition_does(registry):
    content = {
        "datasets": ["digits"],
        "pairs": ["conv8:conv4"],
        "recipe": {"epochs": 3},
        "scenario": {"mine": {"kind": "few", "images": 100}, "other": {"kind": "few", "images": 100, "seed": 1}},
    }
    protocol = parse({"name": "b", **content}, "x")
    by_name = {name: plan_of(registry, protocol, scenarios=(name,)) for name in ("mine", "few100", "other", "few99")}
    assert keys(by_name["mine"]) == keys(by_name["few100"])
    assert student(by_name["mine"]).scenario == "mine"
    students = [student(plan).key for plan in by_name.values()]
    assert len(set(students)) == 3
    assert len({student(plan).protocol for plan in by_name.values()}) == 3


# -- what matters ------------------------------------------------------------------------------------------------------

OTHER_VALUES = {
    "epochs": "7",
    "batch_size": "25",
    "optimizer": "adam",
    "lr": "0.033",
    "momentum": "0.5",
    "nesterov": "true",
    "weight_decay": "0.001",
    "schedule": "constant",
    "milestones": "0.5",
    "gamma": "0.3",
    "warmup_epochs": "1",
    "augmentation": "none",
    "precision": "bf16",
    "channels_last": "true",
    "mixup": "0.2",
    "cutmix": "1",
    "mixing_probability": "0.5",
    "mixing_off_epoch": "3",
    "label_smoothing": "0.1",
    "loss": "bce",
    "schedule_per": "step",
    "min_lr": "0.001",
    "clip_norm": "2",
    "decay_norms_and_biases": "false",
    "repeats": "2",
    "ema_decay": "0.9",
    "evaluate": "ema",
    "teacher_outputs": "table",
}


@pytest.mark.parametrize("name", Recipe.model_fields)
def test_every_field_of_the_recipe_is_in_the_key(registry, name):
    beside = ("recipe.ema_decay=0.5",) if name == "evaluate" else ()
    plain = plan_of(registry, settings=beside)
    other = plan_of(registry, settings=(*beside, f"recipe.{name}={OTHER_VALUES[name]}"))
    teachers = {p.cell.key for p in plain.cells if p.cell.role == "teacher"}
    assert keys(plain) & keys(other) == (teachers if name == "teacher_outputs" else set()), "nobody teaches a teacher"
    assert student(plain).protocol != student(other).protocol
    assert f"recipe.{name}=" in student(other).deviations


@pytest.mark.parametrize(
    "selection",
    [
        {"seeds": (1,)},
        {"pairs": ("conv64:conv16",)},
        {"pairs": ("conv32:conv8",)},
        {"pairs": ("conv32+conv64:conv16",)},
        {"scenarios": ("clean",)},
        {"scenarios": ("few99",)},
        {"settings": ("kd.weight=0.8",)},
        {"settings": ("kd.without=ce",)},
    ],
)
def test_what_is_trained_is_in_the_key(registry, selection):
    assert student(plan_of(registry, **selection)).key != student(plan_of(registry)).key


@pytest.mark.parametrize(
    "fields",
    [
        {"teacher_seed": 1},
        {"teacher": {"epochs": 31}},
        {"models": {"conv16": {"lr": 0.01}}},
        {"models": {"conv32": {"lr": 0.01}}},
        {"methods": {"kd": {"temperature": 3}}},
        {"evaluation": load("digits").evaluation.model_copy(update={"validation": 0.1})},
    ],
)
def test_what_the_benchmark_says_of_training_is_in_the_key(registry, fields):
    assert student(plan_of(registry, changed(**fields))).key != student(plan_of(registry)).key


def test_seeds_share_a_teacher(registry):
    plan = plan_of(registry, methods=("kd",), seeds=(0, 1, 2))
    assert [p.cell.role for p in plan.cells] == ["teacher", "student", "student", "student"]
    assert len({p.cell.requires for p in plan.cells[1:]}) == 1


@pytest.mark.parametrize("number", ["SCHEMA", "NUMERICS"])
def test_numbers_that_are_raised_by_hand_are_in_the_key(registry, monkeypatch, number):
    before = plan_of(registry)
    import kdharness.planning.expand as expand_module

    for module in (cell_module, expand_module, *_modules_with(number)):
        if hasattr(module, number):
            monkeypatch.setattr(module, number, 99)
    after = plan_of(registry)
    assert not keys(before) & keys(after)
    assert student(before).protocol != student(after).protocol


def _modules_with(name: str) -> list[Any]:
    import sys

    return [
        m
        for n, m in sys.modules.items()
        if n.startswith(("kdharness.planning.", "kdharness.protocol.")) and hasattr(m, name)
    ]


# -- plugins -----------------------------------------------------------------------------------------------------------


def test_an_edited_plugin_file_changes_the_key_and_a_moved_one_does_not(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    first = student(plan_of(Registry.load([file]), methods=("smoothed",)), "smoothed")
    assert set(first.document["method"]["plugin"]) == {"digest"}
    (tmp_path / "elsewhere").mkdir()
    moved = Path(shutil.copy(file, tmp_path / "elsewhere" / "renamed.py"))
    assert student(plan_of(Registry.load([moved]), methods=("smoothed",)), "smoothed").key == first.key
    file.write_text(PLUGIN + "\n# edited\n")
    edited = Registry.load([file])
    assert student(plan_of(edited, methods=("smoothed",)), "smoothed").key != first.key
    # Cells that do not use the plugin keep theirs.
    assert student(plan_of(edited)).key == student(plan_of(Registry.load())).key


def test_a_cell_of_a_plugin_that_was_edited_since_does_not_train(make_lab, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    planned = make_lab("planned", plugin_files=(file,)).plan(methods=("smoothed",), scenarios=("few100",))
    file.write_text(PLUGIN.replace("A method in a file", "Another one"))
    lab = make_lab("run", plugin_files=(file,))
    teacher, cell = (p.cell for p in planned.cells)
    lab.train([teacher])
    record = lab.train([cell])[cell.key]
    assert record.error_type == "PluginChanged"
    assert "changed after the plan was made" in record.error_message


# -- protocol ----------------------------------------------------------------------------------------------------------


def test_all_that_is_compared_has_one_protocol(registry):
    plan = plan_of(registry, methods=("all",), seeds=(0, 1), scenarios=("few100",), settings=("kd.temperature=2",))
    assert len({p.cell.protocol for p in plan.cells}) == 1
    assert len(plan.cells[0].cell.protocol) == 12


@pytest.mark.parametrize(
    "fields",
    [
        {"recipe": load("digits").recipe.replaced({"lr": 0.2})},
        {"teacher": {"epochs": 10}},
        {"models": {"conv16": {"lr": 0.2}}},
        {"evaluation": load("digits").evaluation.model_copy(update={"validation": 0.1})},
        {"scenarios": ("clean",)},
    ],
)
def test_what_makes_cells_incomparable_makes_another_protocol(registry, fields):
    assert student(plan_of(registry, changed(**fields))).protocol != student(plan_of(registry)).protocol


def test_a_benchmarks_name_makes_no_other_protocol(registry):
    assert student(plan_of(registry, changed(name="x", summary="y"))).protocol == student(plan_of(registry)).protocol
