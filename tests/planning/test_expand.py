"""Expansion of hand-made values: which cells, in which order, under which keys, and why some will not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from kdharness.api.data import DatasetInfo
from kdharness.api.declarations import ModelSpec, Reads, View
from kdharness.api.parameters import Parameter
from kdharness.api.preprocessing import Preprocessing
from kdharness.api.requirements import Pair, Requirement
from kdharness.api.specs import MethodSpec, OptimizerSpec, ViewSpec
from kdharness.errors import UserError
from kdharness.planning.catalogue import Catalogue, Installed
from kdharness.planning.cell import Cell, TeacherSource, digest
from kdharness.planning.choices import ChosenMethod
from kdharness.planning.datasets import KnownDataset
from kdharness.planning.expand import expand
from kdharness.planning.neutral import model_part
from kdharness.planning.optimizers import know_optimizers
from kdharness.planning.plan import Plan
from kdharness.planning.recipes import Recipes
from kdharness.planning.resolve import Resolved
from kdharness.planning.seeding import Seeding
from kdharness.planning.teacher_files import TeacherFile
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.scenario import Clean, Few, Noise, Split
from kdharness.protocol.variant import COMMAND, Setup, coerced, completed


class Alone:
    """Learns from labels. These methods train nothing, and know nothing of torch."""

    name = "alone"
    regime = ""
    reads = Reads(teachers="none")
    mixed_labels = "mix"
    secret_noise = False
    trains_on = "train"
    private_teacher = False
    withheld: Sequence[str] = ()
    terms: Mapping[str, str] = {"ce": "task"}

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        return []

    def networks(self, pair: Pair) -> Sequence[str]:
        return []

    def optimizers(self, pair: Pair) -> Sequence[str]:
        return []


class Taught(Alone):
    """Learns from the pair's teachers."""

    name = "taught"
    terms = {"ce": "task", "kd": "distill"}

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        return [Requirement(name, method="alone") for name in pair.teachers]


class Chain(Alone):
    """Learns from an assistant that learned from the teacher, starts from a student of its own, makes a critic."""

    name = "chain"
    regime = "long"

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        teacher = Requirement(pair.teachers[0], method="alone")
        return [
            Requirement("middle", method="taught", parameters={"heat": "8"}, teachers=(teacher,), same_seed=True),
            Requirement(pair.student, method="alone", role="student", subset="train", same_seed=True, warm_start=True),
            Requirement("critic", method="alone"),
        ]

    def networks(self, pair: Pair) -> Sequence[str]:
        return ["critic"]


class Lost(Alone):
    """Requires a model that there is not."""

    name = "lost"

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        return [Requirement("biig", method="alone")]


class Misled(Alone):
    """Requires a method with a parameter that it has not."""

    name = "misled"

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        return [Requirement("big", method="taught", parameters={"head": 1})]


class Looking(Alone):
    """Reads views beside the recipe's."""

    name = "looking"
    reads = Reads(teachers="none", views=("strong", View("recipe"), "strong"))


class Dazzled(Alone):
    """Reads a view that there is not."""

    name = "dazzled"
    reads = Reads(teachers="none", views=("recipe", "stron"))


class Broken(Alone):
    name = "broken"

    def __init__(self, **parameters: Any) -> None:
        raise ValueError("not\ntoday")


class Mute(Alone):
    name = "mute"

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        raise KeyError("x")


HEAT = Parameter("heat", float, 4.0)
STAMP: dict[str, str | int] = {"package": "made-up", "revision": 1}


def method_spec(method: type[Alone]) -> MethodSpec:
    return MethodSpec(method.name, method, "", "", (HEAT,))  # type: ignore[arg-type]


METHOD_CLASSES = (Alone, Taught, Chain, Lost, Misled, Looking, Dazzled, Broken, Mute)
METHODS: Catalogue[MethodSpec] = Catalogue(
    "method",
    {m.name: Installed(method_spec(m), "made-up", STAMP) for m in METHOD_CLASSES},
)
MODELS: Catalogue[ModelSpec] = Catalogue(
    "model",
    {
        name: Installed(ModelSpec(name, lambda classes, shape: None), "made-up", STAMP)  # type: ignore[arg-type, return-value]
        for name in ("big", "huge", "middle", "small", "critic")
    },
)
SGD = OptimizerSpec("sgd", lambda parameters, **given: None)  # type: ignore[arg-type, return-value]
OPTIMIZERS = know_optimizers(Catalogue("optimizer", {"sgd": Installed(SGD, "made-up", STAMP)}), {}, "", {})
VIEWS: Catalogue[ViewSpec] = Catalogue(
    "view",
    {
        name: Installed(ViewSpec(name, lambda n, generator: {}, lambda images, draws, info: images), "made-up", STAMP)
        for name in ("standard", "strong", "none")
    },
)
DATASET = KnownDataset(DatasetInfo("0123", 10, (1, 8, 8), 100), {"name": "shapes", "identity": "0123"})
PAIR = Pair(("big",), "small")


def chosen(
    method: type[Alone],
    *pairs: Pair,
    scenarios: tuple[str, ...] = ("clean",),
    without: Mapping[str, str] | None = None,
    part: str = "",
    command: Mapping[str, str] | None = None,
) -> ChosenMethod:
    spec = method_spec(method)
    own = completed(spec, {}, "")
    setup = Setup({**own, **coerced(spec, command or {}, COMMAND)}, own, without or {})
    return ChosenMethod(method.name, dict.fromkeys(pairs or (PAIR,), setup), scenarios, part)


def resolved(*methods: ChosenMethod, **changes: Any) -> Resolved:
    usual = Resolved(
        benchmark="b",
        methods=METHODS,
        models=MODELS,
        optimizers=OPTIMIZERS,
        views=VIEWS,
        datasets={"shapes": DATASET},
        scenarios={"clean": Clean()},
        pairs=(PAIR,),
        seeds=(0,),
        chosen=methods,
        recipes=Recipes(Recipe(epochs=2)),
        own_pairs=(PAIR,),
        own_scenarios=("clean",),
    )
    return replace(usual, **changes)


def planned(*methods: ChosenMethod, **changes: Any) -> Plan:
    """Everything fits."""
    return expand(resolved(*methods, **changes), lambda cell, method: None)


def labels(plan: Plan) -> list[str]:
    return [p.cell.label for p in plan.cells]


def cell_of(plan: Plan, method: str, role: str = "student") -> Cell:
    return next(p.cell for p in plan.cells if p.cell.method == method and p.cell.role == role)


# -- which cells, in which order ---------------------------------------------------------------------------------------


def test_what_is_required_comes_first_and_once() -> None:
    plan = planned(chosen(Alone), chosen(Taught), seeds=(0, 3))
    assert labels(plan) == [
        "alone small shapes seed 0",
        "alone small shapes seed 3",
        "teacher alone big shapes seed 0",
        "taught big:small shapes seed 0",
        "taught big:small shapes seed 3",
    ]
    teacher, student = plan.cells[2].cell, plan.cells[3].cell
    assert student.teachers == (TeacherSource("big", cell=teacher.key),)
    assert student.requires == plan.cells[4].cell.requires == (teacher.key,)


def test_the_order_is_dataset_scenario_pair_method_seed() -> None:
    pairs = (PAIR, Pair(("big", "huge"), "middle"))
    both = ("clean", "few")
    plan = planned(
        chosen(Taught, *pairs, scenarios=both),
        chosen(Alone, *pairs, scenarios=("few",)),
        datasets={"shapes": DATASET, "dots": replace(DATASET, document={"name": "dots"})},
        scenarios={"few": Few(kind="few", images=10), "clean": Clean()},
        pairs=pairs,
    )
    students = [p.cell for p in plan.cells if p.cell.role == "student"]
    assert [(c.dataset, c.scenario, c.method, c.teacher, c.student) for c in students] == [
        (dataset, scenario, method, teacher if method == "taught" else "", student)
        for dataset in ("shapes", "dots")
        for scenario in ("few", "clean")
        for teacher, student in (("big", "small"), ("big+huge", "middle"))
        for method in ("taught", "alone")
        if (method, scenario) != ("alone", "clean")
    ]
    assert len([p for p in plan.cells if p.cell.role == "teacher"]) == 2 * 2 * 2


def test_a_method_without_a_teacher_runs_once_per_student() -> None:
    pairs = (PAIR, Pair(("huge",), "small"), Pair(("big",), "middle"))
    assert labels(planned(chosen(Alone, *pairs), pairs=pairs)) == [
        "alone small shapes seed 0",
        "alone middle shapes seed 0",
    ]


def test_a_method_runs_for_the_pairs_that_it_has_parameters_for() -> None:
    other = Pair(("huge",), "small")
    plan = planned(chosen(Taught, other), pairs=(PAIR, other))
    assert [p.cell.teacher for p in plan.cells if p.cell.role == "student"] == ["huge"]


def test_a_chain_of_requirements() -> None:
    plan = planned(chosen(Chain), seeds=(5,), seeding=Seeding(teacher_seed=7))
    assert labels(plan) == [
        "teacher alone big shapes seed 7",
        "teacher taught[heat=8] big:middle shapes seed 5",
        "step alone small shapes seed 5",
        "teacher alone critic shapes seed 7",
        "chain big:small shapes seed 5",
    ]
    teacher, assistant, start, critic, cell = (p.cell for p in plan.cells)
    assert assistant.requires == (teacher.key,)
    assert assistant.document["subset"] == "teacher"
    assert start.document["subset"] == "train"
    assert cell.teachers == (
        TeacherSource("middle", cell=assistant.key),
        TeacherSource("critic", cell=critic.key),
    )
    assert cell.start == TeacherSource("small", cell=start.key)
    assert cell.requires == (assistant.key, critic.key, start.key, teacher.key)
    assert cell.pair == PAIR
    assert cell.reference_teachers == (TeacherSource("big", cell=teacher.key),)
    assert cell.document["start"] == start.key
    assert cell.networks == ("critic",)
    assert cell.regime == "long"


def test_a_file_stands_for_the_teacher_on_labels() -> None:
    class Own(Taught):
        name = "own"

        def requires(self, pair: Pair) -> Sequence[Requirement]:
            return [Requirement("big"), Requirement("big", same_seed=True), Requirement("big", subset="train")]

    catalogue = replace(
        METHODS,
        by_name={**METHODS.by_name, "own": Installed(method_spec(Own), "", STAMP), "vanilla": METHODS.by_name["alone"]},
    )
    file = TeacherFile("/there/big.pt", "ab" * 32)
    plan = planned(chosen(Own), methods=catalogue, files={"big": file})
    cell = cell_of(plan, "own")
    from_file = TeacherSource("big", sha256=file.sha256, path=file.path)
    assert cell.teachers[:2] == (from_file, from_file)
    assert cell.teachers[2].cell == plan.cells[0].cell.key
    assert [teacher["source"] for teacher in cell.document["teachers"]] == [
        file.sha256,
        file.sha256,
        plan.cells[0].cell.key,
    ]
    assert cell.deviations == f"teacher big from file {file.sha256[:12]}"


# -- identity ----------------------------------------------------------------------------------------------------------


def test_the_whole_document_and_its_key() -> None:
    cell = cell_of(planned(chosen(Taught, without={"ce": COMMAND}), seeds=(3,)), "taught")
    teacher = {"name": "big", "plugin": STAMP, "source": "f28734b4ca007d764394"}
    assert cell.document == {
        "schema": 2,
        "numerics": 2,
        "dataset": {"name": "shapes", "identity": "0123"},
        "scenario": {"kind": "clean"},
        "recipe": model_part(Recipe(epochs=2)),
        "role": "student",
        "subset": "train",
        "optimizers": {"sgd": {"parameters": {}, "plugin": STAMP}},
        "method": {"name": "taught", "parameters": {"heat": 4.0}, "without": ["ce"], "plugin": STAMP},
        "student": {"name": "small", "plugin": STAMP},
        "teachers": [teacher],
        "views": {"standard": STAMP},
        "evaluation": {"split": "test", "every": 0, "validation": 0.0},
        "seed": 3,
    }
    assert cell.key == digest(cell.document) == "603eead942ce51d66226"
    assert cell.protocol == "f45b988c7458"
    assert cell.variant == "without=ce"


def test_a_network_with_preprocessing_of_its_own() -> None:
    spec = replace(MODELS.get("small").spec, preprocessing=Preprocessing((0.5,), (0.25,), size=(16, 16)))
    models = replace(MODELS, by_name={**MODELS.by_name, "small": Installed(spec, "made-up", STAMP)})
    own, usual = cell_of(planned(chosen(Alone), models=models), "alone"), cell_of(planned(chosen(Alone)), "alone")
    preprocessing = {"mean": [0.5], "std": [0.25], "size": [16, 16], "crop": None}
    assert own.document["student"] == {**usual.document["student"], "preprocessing": preprocessing}
    assert own.key != usual.key
    assert own.protocol == usual.protocol


def test_every_view_that_a_cell_sees_is_in_its_document() -> None:
    recipes = Recipes(Recipe(epochs=2), {"augmentation": "none"})
    plan = planned(chosen(Looking), chosen(Taught), recipes=recipes)
    seen = {(p.cell.method, p.cell.role): p.cell.document["views"] for p in plan.cells}
    assert seen == {
        ("looking", "student"): {"standard": STAMP, "strong": STAMP},
        ("alone", "teacher"): {"none": STAMP},
        ("taught", "student"): {"standard": STAMP},
    }


@pytest.mark.parametrize("name", ["standard", "strong"])
def test_an_edited_view_is_another_key_for_who_sees_it(name: str) -> None:
    edited = {**VIEWS.by_name, name: Installed(VIEWS.get(name).spec, "made-up", {**STAMP, "revision": 2})}
    before, after = (planned(chosen(Looking), chosen(Alone), views=v) for v in (VIEWS, replace(VIEWS, by_name=edited)))
    same = [cell_of(before, m).key == cell_of(after, m).key for m in ("looking", "alone")]
    assert same == [False, name == "strong"]
    # What the recipe names is the same for all methods, and makes two tables incomparable.
    assert (before.cells[0].cell.protocol == after.cells[0].cell.protocol) == (name == "strong")


def test_teachers_and_models_have_their_recipes() -> None:
    recipes = Recipes(Recipe(epochs=2), {"epochs": 5}, {"small": {"lr": 0.5}})
    plan = planned(chosen(Taught), recipes=recipes)
    assert [(p.cell.recipe["epochs"], p.cell.recipe["lr"]) for p in plan.cells] == [(5, 0.05), (2, 0.5)]
    assert plan.cells[0].cell.protocol == plan.cells[1].cell.protocol
    assert plan.cells[0].cell.protocol != planned(chosen(Taught)).cells[0].cell.protocol


def test_the_same_values_give_the_same_plan() -> None:
    value = resolved(chosen(Taught), chosen(Chain), seeds=(0, 1))

    def fits(cell: Cell, method: object) -> None:
        return None

    assert expand(value, fits) == expand(value, fits)
    plan = expand(value, fits, command=("run",), created_at="then")
    assert (plan.command, plan.created_at) == (("run",), "then")


@pytest.mark.parametrize(
    ("scenario", "method", "regime"),
    [
        (Clean(), Taught, ""),
        (Noise(kind="noise", ratio=0.4), Alone, "noisy_labels"),
        (Split(kind="split"), Taught, "private_data"),
        (Split(kind="split"), Alone, ""),
        (Noise(kind="noise", ratio=0.4), Chain, "long"),
    ],
)
def test_regimes(scenario: Any, method: type[Alone], regime: str) -> None:
    plan = planned(chosen(method), scenarios={"clean": scenario})
    assert cell_of(plan, method.name).regime == regime


def test_departures_from_the_benchmark() -> None:
    pairs = (PAIR, Pair(("huge",), "small"), Pair(("big",), "middle"))
    changes = {
        "pairs": pairs,
        "scenarios": {"clean": Clean(), "few": Few(kind="few", images=10)},
        "datasets": {"shapes": replace(DATASET, deviations=("shapes.size=3",))},
        "recipes": Recipes(Recipe(epochs=3), deviations=("recipe.epochs=3",)),
    }
    plan = planned(*(chosen(m, *pairs, scenarios=("clean", "few")) for m in (Alone, Taught)), **changes)
    found = {p.cell.label: p.cell.deviations for p in plan.cells if p.cell.role == "student"}
    both = "recipe.epochs=3; shapes.size=3"
    assert found == {
        "alone small shapes seed 0": both,
        "alone middle shapes seed 0": f"{both}; student=middle",
        "taught big:small shapes seed 0": both,
        "taught huge:small shapes seed 0": f"{both}; pair=huge:small",
        "taught big:middle shapes seed 0": f"{both}; pair=big:middle",
        "alone small shapes few seed 0": f"{both}; scenario=few",
        "alone middle shapes few seed 0": f"{both}; scenario=few; student=middle",
        "taught big:small shapes few seed 0": f"{both}; scenario=few",
        "taught huge:small shapes few seed 0": f"{both}; scenario=few; pair=huge:small",
        "taught big:middle shapes few seed 0": f"{both}; scenario=few; pair=big:middle",
    }


# -- what will not run -------------------------------------------------------------------------------------------------


def skips(plan: Plan) -> dict[str, str]:
    return {p.cell.label: p.skip for p in plan.cells if p.skip}


def test_what_does_not_fit_is_skipped_and_what_requires_it_too() -> None:
    asked = []

    def compatibility(cell: Cell, method: Any) -> str | None:
        asked.append((cell.label, type(method)))
        return "too big" if cell.student == "big" else None

    plan = expand(resolved(chosen(Alone), chosen(Taught), seeds=(0, 1)), compatibility)
    assert skips(plan) == {
        "teacher alone big shapes seed 0": "too big",
        "taught big:small shapes seed 0": "teacher alone big shapes seed 0 will not run: too big",
        "taught big:small shapes seed 1": "teacher alone big shapes seed 0 will not run: too big",
    }
    # Of each cell once, and of none that will not run anyway.
    assert asked == [
        ("alone small shapes seed 0", Alone),
        ("alone small shapes seed 1", Alone),
        ("teacher alone big shapes seed 0", Alone),
    ]


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (Lost, "method 'lost' requires what there is not: unknown model 'biig'; did you mean 'big'"),
        (
            Misled,
            "method 'misled' requires what there is not: unknown parameter of method 'taught' 'head' (required by"
            " 'misled'); did you mean 'heat'?",
        ),
        (Dazzled, "method 'dazzled' requires what there is not: unknown view 'stron'; did you mean 'strong'"),
        (Broken, "method 'broken' cannot be made: ValueError: not today"),
        (Mute, "method 'mute' failed in requires(): KeyError: 'x'"),
    ],
)
def test_a_faulty_method_is_skipped_with_its_fault(method: type[Alone], says: str) -> None:
    plan = planned(chosen(method), chosen(Alone))
    assert plan.cells[0].skip.startswith(says)
    assert plan.cells[1].skip == ""


def test_what_the_command_line_asked_for_in_vain_is_an_error() -> None:
    with pytest.raises(UserError, match="method 'lost' requires what there is not: unknown model 'biig'"):
        planned(chosen(Lost, command={"heat": "2"}))


@pytest.mark.parametrize(
    ("without", "says"),
    [
        (("ce", "kd"), "without ce and kd no loss term is left to train by"),
        (("hint",), "without names the term 'hint', which 'taught' lacks (it has ce, kd)"),
        (("kd",), ""),
    ],
)
def test_terms_to_leave_out(without: tuple[str, ...], says: str) -> None:
    assert planned(chosen(Taught, without=dict.fromkeys(without, ""))).cells[-1].skip == says


def test_names_that_several_plugins_claim_are_nobodys() -> None:
    models = replace(MODELS, claimed={"biig": "model 'biig' is claimed twice, by x and by y"}, broken=("plugin 'z'",))
    assert planned(chosen(Lost), models=models).cells[0].skip.endswith("is claimed twice, by x and by y")
    unclaimed = replace(models, claimed={})
    assert planned(chosen(Lost), models=unclaimed).cells[0].skip.endswith("\nplugin 'z'")


def test_nothing_left_says_why() -> None:
    with pytest.raises(UserError, match="nothing is left to run: no scenario; nor else"):
        planned(chosen(Alone, scenarios=("few",)), warnings=("no scenario", "nor else"))


# -- ablations ---------------------------------------------------------------------------------------------------------


def test_parts_of_an_ablation_that_are_one_cell() -> None:
    plan = planned(
        chosen(Taught, part="taught"),
        chosen(Taught, without={"kd": ""}, part="taught without kd"),
        chosen(Taught, part="taught[same]"),
        chosen(Alone, part="alone"),
        seeds=(0, 1),
    )
    assert plan.ablated == "taught"
    whole, dropped, beside = (
        [p.cell for p in plan.cells if (p.cell.method, p.cell.variant, p.cell.role) == (method, variant, "student")]
        for method, variant in (("taught", ""), ("taught", "without=kd"), ("alone", ""))
    )
    assert plan.parts == {
        **{cell.key: ("taught", "taught[same]") for cell in whole},
        **{cell.key: ("taught without kd",) for cell in dropped},
        **{cell.key: ("alone",) for cell in beside},
    }


def test_outside_an_ablation_there_are_no_parts() -> None:
    plan = planned(chosen(Taught), chosen(Alone))
    assert (plan.ablated, plan.parts) == ("", {})
