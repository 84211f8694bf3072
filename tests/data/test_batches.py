"""What one epoch is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from kdharness_plugins.views import kdharness_views

from kdharness.api import Augmentation, ImageDataset, Split
from kdharness.data.batches import BatchRequest, EpochBatches, Samples, batch_bounds
from kdharness.data.images import DeviceImages
from kdharness.data.mixing import MixingRequest, larger_labels, mixed_images, soft_labels
from kdharness.data.prepare import Data
from kdharness.data.subsets import Subsets
from kdharness.data.views import ViewKey
from kdharness.device.door import open_device
from kdharness.device.ledger import Ledger

BUILT_IN = {spec.name: spec for spec in kdharness_views()}
CPU = open_device("cpu")
REQUEST = BatchRequest(data="any", seed=0, subset="train", batch_size=8, epoch=0)
STANDARD, PLAIN = ViewKey("standard"), ViewKey("none")
LABELS = np.arange(60, dtype=np.int64) % 3
LABELS[7] = 3  # alone in its class
SUBSET = torch.arange(0, 60, 2)  # 30 of the 60


def an_epoch(
    request: BatchRequest = REQUEST,
    subset: torch.Tensor = SUBSET,
    labels: np.ndarray = LABELS,
    ledger: Ledger | None = None,
) -> EpochBatches:
    pixels = np.arange(60, dtype=np.uint8).repeat(4 * 4).reshape(60, 1, 4, 4)  # each image is its own number
    split = Split(pixels, labels)
    dataset = ImageDataset({"train": split, "test": split}, tuple("abcd"), (0.0,), (1.0,), Augmentation(1, True))
    images, targets = DeviceImages(dataset, "train", CPU.torch), torch.from_numpy(labels)
    hidden = Subsets({}, labels, {})
    data = Data("any", dataset, images, images, {"train": subset}, targets, targets, hidden)
    return EpochBatches(request, data, BUILT_IN.__getitem__, CPU, ledger or Ledger(CPU.clock()))


def epoch(batches: EpochBatches) -> list[Samples]:
    return [batches.samples(number) for number in range(len(batches))]


def read(samples: Samples) -> list[torch.Tensor]:
    return [samples.targets, samples.indices, samples.view(STANDARD), samples.partners(STANDARD)]


def image_numbers(view: torch.Tensor) -> list[int]:
    """Which image each one is: the brightest pixel, since crops add black."""
    return (view.flatten(1).amax(1) * 255).round().int().tolist()


def test_each_sample_comes_once_and_the_last_batch_is_short():
    samples = epoch(an_epoch())
    assert [len(s.targets) for s in samples] == [8, 8, 8, 6]
    assert sorted(torch.cat([s.indices for s in samples]).tolist()) == list(range(30))


def test_images_and_labels_belong_to_the_indices():
    for samples in epoch(an_epoch()):
        rows = SUBSET[samples.indices]
        assert samples.targets.tolist() == LABELS[rows].tolist()
        assert image_numbers(samples.view(PLAIN)) == rows.tolist()


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [
        (30, 10, [10, 10, 10]),
        (31, 10, [10, 10, 11]),  # no single sample, which BatchNorm cannot train on
        (32, 10, [10, 10, 10, 2]),
        (10, 10, [10]),
        (11, 10, [11]),
        (5, 10, [5]),
        (1, 10, [1]),
    ],
)
def test_sizes_of_batches(n, batch_size, sizes):
    bounds = batch_bounds(n, batch_size)
    assert [end - start for start, end in bounds] == sizes
    assert [start for start, _ in bounds] == [0, *(end for _, end in bounds[:-1])]
    assert bounds[-1][1] == n


def test_any_batch_can_be_made_again():
    batches = an_epoch()
    before = [read(s) for s in epoch(batches)]
    for number in (2, 0, 3, 0):
        again = batches.samples(number)
        assert all(torch.equal(a, b) for a, b in zip(read(again), before[number], strict=True))


def test_whatever_was_done_to_a_batch():
    batches = an_epoch()
    before = [t.clone() for t in read(batches.samples(0))]
    damaged = batches.samples(0)
    for tensor in read(damaged):
        tensor.zero_()
    assert damaged.watched.changed
    assert all(torch.equal(a, b) for a, b in zip(read(batches.samples(0)), before, strict=True))


def test_equal_requests_are_equal_passes():
    torch.manual_seed(3)
    first = epoch(an_epoch())
    torch.manual_seed(4)
    second = epoch(an_epoch())
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(read(one), read(other), strict=True))


@pytest.mark.parametrize(
    ("selection", "expected"), [((), list(range(30))), ((7, 3, 29, 0, 11, 3, 8, 5, 2), [7, 3, 29, 0, 11, 3, 8, 5, 2])]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_an_order_that_is_asked_for_is_kept(selection, expected, seed):
    samples = epoch(an_epoch(replace(REQUEST, shuffled=False, selection=selection, seed=seed)))
    assert torch.cat([s.indices for s in samples]).tolist() == expected
    for batch in samples:
        rows = SUBSET[batch.indices]
        assert image_numbers(batch.view(PLAIN)) == rows.tolist()
        assert LABELS[rows].tolist() == LABELS[image_numbers(batch.partners(PLAIN))].tolist()


def test_otherwise_a_selection_is_shuffled():
    chosen = tuple(range(30))
    assert torch.cat([s.indices for s in epoch(an_epoch(replace(REQUEST, selection=chosen)))]).tolist() != list(chosen)


@pytest.mark.parametrize("change", [{"epoch": 1}, {"seed": 1}])
def test_epochs_and_seeds_differ_in_order_and_in_views(change):
    one, other = an_epoch(), an_epoch(replace(REQUEST, **change))
    assert not torch.equal(one.order, other.order)
    assert not torch.equal(*(batches.samples(0).view(STANDARD) for batches in (one, other)))


def test_what_else_is_read_of_a_batch_does_not_change_a_view():
    """So that methods are compared on the same batches, whatever else they read."""
    plain, other = (batches.samples(1) for batches in (an_epoch(), an_epoch()))
    _ = other.view(ViewKey("standard", 1)), other.view(PLAIN), other.partners(PLAIN), other.partners(STANDARD)
    assert torch.equal(plain.view(STANDARD), other.view(STANDARD))
    assert torch.equal(plain.indices, other.indices)


def test_images_are_made_when_they_are_read_and_once():
    samples = an_epoch().samples(0)
    made: list[tuple[ViewKey, bool]] = []
    make = samples._make
    samples._make = lambda key, partners: made.append((key, partners)) or make(key, partners)
    assert not made
    assert samples.view(PLAIN) is samples.view(PLAIN)
    _ = samples.partners(PLAIN), samples.partners(PLAIN)
    assert made == [(PLAIN, False), (PLAIN, True)]


def test_the_time_that_images_take_is_its_readers():
    """The draws of the epoch too: whoever reads a view in some batch pays for them."""
    ledger = Ledger(CPU.clock())
    batches = an_epoch(ledger=ledger)
    first, second = batches.samples(0), batches.samples(1)
    with ledger.turn("plain"):
        first.view(PLAIN)
    with ledger.turn("both"):
        _ = first.view(PLAIN), second.view(STANDARD), second.partners(STANDARD)
    with ledger.turn("neither"):
        pass
    things = [thing.readers for thing in ledger._things]
    # Draws and pixels of the plain view; then those of the standard one, the order of partners, and their pixels.
    assert things == [{"plain", "both"}] * 2 + [{"both"}] * 4
    bills = ledger.bills(["plain", "both", "neither"])
    assert bills["neither"].shared == 0
    assert 0 < bills["plain"].shared < bills["both"].shared


def test_two_views_of_one_name_are_drawn_apart():
    batches = an_epoch()
    first, second = (torch.cat([s.view(ViewKey("standard", k)) for s in epoch(batches)]) for k in (0, 1))
    assert image_numbers(first) == image_numbers(second)
    assert not torch.equal(first, second)


def test_partners_are_another_image_of_the_same_class():
    batches = an_epoch()
    for samples in epoch(batches):
        own = SUBSET[samples.indices].tolist()
        other = image_numbers(samples.partners(PLAIN))
        assert LABELS[own].tolist() == LABELS[other].tolist()
        assert all(a != b for a, b in zip(own, other, strict=True))
        assert set(other) <= set(SUBSET.tolist())


def test_who_is_alone_in_its_class_is_its_own_partner():
    everyone = torch.arange(60)
    for samples in epoch(an_epoch(subset=everyone)):
        for own, other in zip(samples.indices.tolist(), image_numbers(samples.partners(PLAIN)), strict=True):
            assert (own == other) == (own == 7)


def test_a_selection_is_what_comes():
    chosen = (1, 4, 9, 16, 25, 2, 3)
    samples = epoch(an_epoch(replace(REQUEST, selection=chosen, batch_size=4)))
    assert [len(s.targets) for s in samples] == [4, 3]
    assert sorted(torch.cat([s.indices for s in samples]).tolist()) == sorted(chosen)
    for batch in samples:
        assert image_numbers(batch.view(PLAIN)) == SUBSET[batch.indices].tolist()


def test_partners_come_from_the_selection():
    chosen = (0, 3, 6, 9)  # images 0, 6, 12, 18, all of class 0
    samples = an_epoch(replace(REQUEST, selection=chosen)).samples(0)
    assert set(image_numbers(samples.partners(PLAIN))) == {0, 6, 12, 18}


def test_repeated_images_stand_side_by_side_and_are_drawn_apart():
    plain, repeated = epoch(an_epoch()), epoch(an_epoch(replace(REQUEST, repeats=3)))
    assert [len(s.targets) for s in repeated] == [24, 24, 24, 18]
    for one, three in zip(plain, repeated, strict=True):
        assert torch.equal(three.indices, one.indices.repeat_interleave(3))
        assert torch.equal(three.targets, one.targets.repeat_interleave(3))
        assert torch.equal(three.view(PLAIN), one.view(PLAIN).repeat_interleave(3, 0))
        views = three.view(STANDARD).unflatten(0, (-1, 3))
        assert not all(torch.equal(images[0], images[1]) for images in views)
        others = image_numbers(three.partners(PLAIN))
        for number, other in zip(image_numbers(three.view(PLAIN)), others, strict=True):
            assert number != other


MIXED = replace(REQUEST, mixing=MixingRequest(0.4, 1.0, 0.7))


def test_mixed_batches_are_mixed_views_and_labels():
    plain, mixed = epoch(an_epoch()), epoch(an_epoch(MIXED))
    assert {samples.mixing and samples.mixing.kind for samples in mixed} == {None, "mixup", "cutmix"}
    for one, other in zip(plain, mixed, strict=True):
        assert torch.equal(one.indices, other.indices)
        if other.mixing is None:
            assert other.soft_targets is None
            assert torch.equal(one.targets, other.targets)
            assert torch.equal(one.view(STANDARD), other.view(STANDARD))
            continue
        for key in (STANDARD, PLAIN, ViewKey("standard", 1)):
            assert torch.equal(other.view(key), mixed_images(one.view(key), other.mixing))
        assert other.soft_targets is not None
        assert torch.equal(other.soft_targets, soft_labels(one.targets, other.mixing, 4))
        assert torch.equal(other.targets, larger_labels(one.targets, other.mixing))


def test_a_mixed_batch_can_be_made_again_after_somebody_changed_it():
    batches = an_epoch(MIXED)

    def shared(samples: Samples) -> list[torch.Tensor]:
        return [samples.view(STANDARD), samples.targets, samples.soft_targets, *samples.mixing.tensors()]

    number = next(n for n in range(len(batches)) if batches.samples(n).mixing is not None)
    before = [tensor.clone() for tensor in shared(batches.samples(number))]
    for place in range(len(before)):
        samples = batches.samples(number)
        shared(samples)[place].add_(1)
        assert samples.watched.changed
    assert all(map(torch.equal, before, shared(batches.samples(number))))


def test_how_images_are_mixed_does_not_depend_on_who_reads_which_view():
    one, other = an_epoch(MIXED).samples(0), an_epoch(MIXED).samples(0)
    one.view(PLAIN)
    assert torch.equal(one.view(STANDARD), other.view(STANDARD))
