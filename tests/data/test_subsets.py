"""What scenarios make of a training split."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from kdharness.data.prepare import DataStore
from kdharness.data.subsets import HIDDEN_SUBSETS, apply, private_part, proportional, stratified
from kdharness.errors import CellError
from kdharness.protocol.private_parts import PrivatePart
from kdharness.protocol.scenario import HIDDEN, SPLITS
from kdharness.protocol.subset_sizes import subset_sizes

UNEVEN = np.repeat(np.arange(4), (50, 30, 15, 5)).astype(np.int64)
EVEN = np.tile(np.arange(10), 20).astype(np.int64)


def per_class(positions: np.ndarray, targets: np.ndarray = UNEVEN) -> list[int]:
    return np.bincount(targets[positions], minlength=int(targets.max()) + 1).tolist()


def everything(targets: np.ndarray) -> np.ndarray:
    return np.arange(len(targets))


# -- choosing over classes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (4, [1, 1, 1, 1]),
        (20, [5, 5, 5, 5]),
        (32, [9, 9, 9, 5]),  # the smallest class is used up, the others share the rest
        (66, [23, 23, 15, 5]),
        (100, [50, 30, 15, 5]),
        (1000, [50, 30, 15, 5]),
    ],
)
def test_equal_shares_as_far_as_classes_reach(count, expected):
    assert per_class(stratified(UNEVEN, everything(UNEVEN), count, seed=0)) == expected


def test_what_is_left_over_goes_to_classes_in_a_seeded_order():
    first = [tuple(per_class(stratified(EVEN, everything(EVEN), 13, seed), EVEN)) for seed in range(20)]
    assert all(sum(counts) == 13 and set(counts) == {1, 2} for counts in first)
    assert len(set(first)) > 10


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (80, [40, 24, 12, 4]),
        (20, [10, 6, 3, 1]),
        (100, [50, 30, 15, 5]),
        (7, [4, 2, 1, 0]),  # quotas 3.5, 2.1, 1.05, 0.35: what is left over goes to the largest remainder
    ],
)
def test_shares_in_proportion(count, expected):
    assert per_class(proportional(UNEVEN, everything(UNEVEN), count, seed=0)) == expected


@pytest.mark.parametrize("choose", [stratified, proportional])
def test_a_choice_is_ascending_without_repeats_and_within(choose):
    among = np.arange(3, 90, 2)
    found = choose(UNEVEN, among, 20, seed=5)
    assert found.dtype == np.int64
    assert (np.diff(found) > 0).all()
    assert set(found) <= set(among)
    assert len(found) == 20
    assert (found == choose(UNEVEN, among, 20, seed=5)).all()
    assert (found != choose(UNEVEN, among, 20, seed=6)).any()


# -- scenarios ---------------------------------------------------------------------------------------------------------


def test_clean_gives_everything_to_both():
    subsets = apply({"kind": "clean"}, EVEN, 10, 0.0)
    assert (subsets.indices["train"] == everything(EVEN)).all()
    assert (subsets.indices["teacher"] == everything(EVEN)).all()
    assert len(subsets.indices["validation"]) == 0
    assert (subsets.targets == EVEN).all()
    assert not subsets.hidden


def test_small_is_few_for_teachers_too():
    few = apply({"kind": "few", "images": 40, "seed": 3}, EVEN, 10, 0.1)
    small = apply({"kind": "small", "images": 40, "seed": 3}, EVEN, 10, 0.1)
    assert small.indices["train"].tolist() == few.indices["train"].tolist() == small.indices["teacher"].tolist()
    assert small.indices["validation"].tolist() == few.indices["validation"].tolist()
    assert small.indices["teacher_validation"].tolist() == small.indices["validation"].tolist()
    assert set(few.indices["teacher"]) > set(small.indices["teacher"])


def test_few_is_for_the_student_alone():
    subsets = apply({"kind": "few", "images": 40, "seed": 0}, EVEN, 10, 0.0)
    assert per_class(subsets.indices["train"], EVEN) == [4] * 10
    assert len(subsets.indices["teacher"]) == 200
    assert (subsets.targets == EVEN).all()


@pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("ratio", [0.1, 0.4, 0.333])
def test_noise_hits_the_exact_share_with_another_class(kind, ratio):
    subsets = apply({"kind": "noise", "ratio": ratio, "type": kind, "seed": 0}, EVEN, 10, 0.0)
    wrong = subsets.targets != EVEN
    assert wrong.sum() == round(ratio * 200)
    assert (subsets.hidden["corrupted"] == wrong).all()
    assert (subsets.hidden["clean_targets"] == EVEN).all()
    assert subsets.targets.min() >= 0
    assert subsets.targets.max() < 10
    if kind == "asymmetric":
        assert (subsets.targets[wrong] == (EVEN[wrong] + 1) % 10).all()


def test_symmetric_noise_reaches_every_other_class():
    targets = np.tile(np.arange(4), 1000).astype(np.int64)
    subsets = apply({"kind": "noise", "ratio": 0.6, "type": "symmetric", "seed": 0}, targets, 4, 0.0)
    moves = np.bincount((subsets.targets - targets) % 4, minlength=4)
    assert moves[0] == 1600
    assert all(abs(int(count) - 800) < 4 * (2400 * 2 / 9) ** 0.5 for count in moves[1:])


def test_the_given_labels_are_left_alone():
    targets = EVEN.copy()
    apply({"kind": "noise", "ratio": 0.4, "type": "symmetric", "seed": 0}, targets, 10, 0.0)
    assert (targets == EVEN).all()


def test_split_is_disjoint_and_covers():
    subsets = apply({"kind": "split", "public": 0.8, "seed": 0}, UNEVEN, 4, 0.0)
    public, private = subsets.indices["public"], subsets.indices["private"]
    assert sorted([*public, *private]) == list(range(100))
    assert per_class(public) == [40, 24, 12, 4]  # each class in proportion: none is missing on either side
    assert (subsets.indices["train"] == public).all()
    assert len(subsets.indices["teacher"]) == 100
    assert np.flatnonzero(subsets.hidden["private"]).tolist() == private.tolist()


# -- validation --------------------------------------------------------------------------------------------------------

CLEAN = {"kind": "clean"}
FEW = {"kind": "few", "images": 40, "seed": 0}
SMALL = {"kind": "small", "images": 40, "seed": 0}
NOISE = {"kind": "noise", "ratio": 0.4, "type": "symmetric", "seed": 0}
SPLIT = {"kind": "split", "public": 0.6, "seed": 0}


@pytest.mark.parametrize(
    ("scenario", "train", "validation", "teacher", "teacher_validation"),
    [
        (CLEAN, 160, 40, 160, 40),
        (NOISE, 160, 40, 160, 40),
        (FEW, 32, 8, 160, 40),  # a fifth of the 40; of the 160 that only the teacher sees another fifth
        (SMALL, 32, 8, 32, 8),
        (SPLIT, 96, 24, 160, 40),  # a fifth of the 120 public ones, and of the 80 private ones
    ],
)
def test_sizes_with_a_fifth_for_validation(scenario, train, validation, teacher, teacher_validation):
    indices = apply(scenario, EVEN, 10, 0.2).indices
    assert len(indices["train"]) == train
    assert len(indices["validation"]) == validation
    assert len(indices["teacher"]) == teacher
    assert len(indices["teacher_validation"]) == teacher_validation


@pytest.mark.parametrize("scenario", [CLEAN, FEW, SMALL, NOISE, SPLIT])
def test_validation_comes_out_of_what_the_student_may_see(scenario):
    whole, held = apply(scenario, EVEN, 10, 0.0).indices, apply(scenario, EVEN, 10, 0.2).indices
    assert sorted([*held["train"], *held["validation"]]) == whole["train"].tolist()
    assert sorted([*held["teacher"], *held["teacher_validation"]]) == whole["teacher"].tolist()
    assert len(whole["validation"]) == len(whole["teacher_validation"]) == 0


@pytest.mark.parametrize("scenario", [CLEAN, FEW, SMALL, NOISE, SPLIT])
def test_nobody_trains_on_validation(scenario):
    indices = apply(scenario, EVEN, 10, 0.2).indices
    assert set(indices["validation"]) <= set(indices["teacher_validation"])
    for name in set(indices) - {"validation", "teacher_validation"}:
        assert not set(indices[name]) & set(indices["validation"]), name
    assert not set(indices["teacher"]) & set(indices["teacher_validation"])


def test_validation_has_as_many_wrong_labels_as_training():
    """Nobody who trains with wrong labels has right ones to choose the epoch by."""
    targets = np.tile(np.arange(10), 300).astype(np.int64)
    subsets = apply(NOISE, targets, 10, 0.2)
    wrong = subsets.targets != targets
    assert wrong.sum() == 1200
    of_validation = wrong[subsets.indices["validation"]].mean()
    assert abs(of_validation - 0.4) < 0.06  # four standard deviations for 600 images
    assert (subsets.targets[subsets.indices["validation"]] < 10).all()


def test_validation_has_each_class_in_proportion():
    assert per_class(apply(CLEAN, UNEVEN, 4, 0.2).indices["validation"]) == [10, 6, 3, 1]
    assert per_class(apply(FEW, EVEN, 10, 0.25).indices["validation"], EVEN) == [1] * 10


def test_private_images_are_those_that_teachers_train_on():
    """What is held out for teachers is no member of anything."""
    subsets = apply(SPLIT, EVEN, 10, 0.2)
    private = set(subsets.indices["private"])
    assert len(private) == 64
    assert private <= set(subsets.indices["teacher"])
    assert set(np.flatnonzero(subsets.hidden["private"])) == private


@pytest.mark.parametrize("private", [np.arange(5, 88, dtype=np.int64), np.arange(60, dtype=np.int64)])
def test_parts_of_private_images_are_disjoint_and_cover(private):
    parts = [PrivatePart(k, 7) for k in range(1, 8)]
    found = [private_part(SPLIT, {"private": private}, part) for part in parts]
    assert sorted(np.concatenate(found)) == private.tolist()
    sizes = [len(rows) for rows in found]
    assert max(sizes) - min(sizes) <= 1
    assert all((np.diff(rows) > 0).all() for rows in found)
    other = private_part({**SPLIT, "seed": 1}, {"private": private}, parts[0])
    assert other.tolist() != found[0].tolist()


def test_a_candidate_more_or_less_changes_one_part():
    everyone = np.arange(60, dtype=np.int64)
    all_in, one_out = ({"private": rows, "candidates": everyone[20:40]} for rows in (everyone, np.delete(everyone, 30)))
    pairs = [[private_part(SPLIT, i, PrivatePart(k, 7)).tolist() for i in (all_in, one_out)] for k in range(1, 8)]
    (changed,) = (pair for pair in pairs if pair[0] != pair[1])
    assert set(changed[0]) - set(changed[1]) == {30}


def test_a_cell_of_a_part_has_that_part_and_shares_the_images(lab):
    store = DataStore(lab.registry, lab.path, torch.device("cpu"), download=False)
    plan = lab.plan(methods=("pate",), scenarios=("split80",), settings=("pate.teachers=4",))
    cells = {planned.cell.document["subset"]: planned.cell for planned in plan.cells}
    whole = store.of(cells["train"])
    parts = [store.of(cells[f"private[{k}/4]"]) for k in range(1, 5)]
    assert not any("[" in name for name in whole.subsets)
    rows = [part.subsets[f"private[{k}/4]"].tolist() for k, part in enumerate(parts, 1)]
    assert sorted(row for part in rows for row in part) == whole.subsets["private"].tolist()
    assert all(part.train is whole.train for part in parts)
    assert store.of(cells["private[2/4]"]) is parts[1]


@pytest.mark.parametrize("validation", [0.0, 0.2, 0.13])
@pytest.mark.parametrize("targets", [EVEN, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("scenario", [CLEAN, FEW, SMALL, NOISE, SPLIT, {**FEW, "images": 1000}])
def test_sizes_are_known_before_labels_are(scenario, targets, validation):
    indices = apply(scenario, targets, 10, validation).indices
    planned = subset_sizes(scenario, len(targets), validation)
    assert planned == {name: len(rows) for name, rows in indices.items() if name not in HIDDEN_SUBSETS}


# -- what decides ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scenario",
    [
        {"kind": "few", "images": 20},
        {"kind": "noise", "ratio": 0.5, "type": "symmetric"},
        {"kind": "noise", "ratio": 0.5, "type": "asymmetric"},
        {"kind": "split", "public": 0.5},
    ],
)
def test_its_seed_decides_and_nothing_else(scenario):
    def all_of(seed: int) -> list[np.ndarray]:
        subsets = apply({**scenario, "seed": seed}, EVEN, 10, 0.1)
        return [*subsets.indices.values(), subsets.targets, *subsets.hidden.values()]

    np.random.seed(1)
    first = all_of(0)
    np.random.seed(2)
    assert all((a == b).all() for a, b in zip(first, all_of(0), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, all_of(1), strict=True))


def test_the_test_split_is_what_it_was(lab):
    """Whatever the scenario, test labels are the dataset's own."""
    store = DataStore(lab.registry, lab.path, torch.device("cpu"), download=False)
    for scenario in ("clean", "noise40", "asym40", "few100", "small100", "split80"):
        cell = lab.plan(methods=("vanilla",), scenarios=(scenario,)).cells[0].cell
        data = store.of(cell)
        assert (data.test_targets.numpy() == data.dataset.splits["test"].targets).all()
        assert len(data.test) == 797


def test_a_dataset_that_changes_torchs_settings_is_told_so(lab, monkeypatch):
    store = DataStore(lab.registry, lab.path, torch.device("cpu"), download=False)
    cell = lab.plan(methods=("vanilla",), scenarios=("few100",)).cells[0].cell
    spec = lab.registry.get("dataset", cell.dataset).spec

    def load(request):
        torch.set_default_dtype(torch.float64)
        return spec.load(request)

    given = dataclasses.replace(lab.registry.get("dataset", cell.dataset), spec=dataclasses.replace(spec, load=load))
    monkeypatch.setattr(lab.registry, "get", lambda kind, name: given)
    with pytest.raises(CellError, match="default dtype"):
        store.of(cell)
    assert torch.get_default_dtype() is torch.float32


def test_the_words_for_splits_and_for_what_is_hidden():
    """Those that a metric may declare."""
    targets, splits, hidden = np.arange(100, dtype=np.int64) % 10, {"test"}, set()
    noise = {"kind": "noise", "type": "symmetric", "ratio": 0.4, "seed": 0}
    split = {"kind": "split", "public": 0.5, "seed": 0, "candidates": 0.5}
    for scenario in ({"kind": "clean"}, noise, split):
        found = apply(scenario, targets, 10, 0.2)
        splits |= set(found.indices)
        hidden |= set(found.hidden)
    assert (splits, hidden) == (set(SPLITS), set(HIDDEN))
