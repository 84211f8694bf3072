"""The built-in views: what they draw, and that it depends on nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from kdharness_plugins.views import autoaugment_cutout, erasing, fixmatch, kdharness_views, strong
from kdharness_plugins.views._operations import OPERATIONS, operate
from kdharness_plugins.views.standard import crop_and_flip
from torch import Tensor
from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy, RandAugment, functional as vision

from kdharness.api import Augmentation, FiniteView, ViewInfo, ViewSpec
from kdharness.data.views import EpochView
from kdharness.device.door import open_device
from kdharness.errors import CellError
from kdharness.testing.operations import operations
from kdharness.testing.rehearsal import fake_accelerator, meta_device

PADDING, SIZE = 4, 8
CPU = open_device("cpu")
STANDARD = Augmentation(crop_padding=PADDING, flip=True)
INFO = ViewInfo(STANDARD, (SIZE, SIZE))
VIEWS = {spec.name: spec for spec in kdharness_views()}
PLACES = [(dy, dx, flip) for dy in range(9) for dx in range(9) for flip in (False, True)]
MANY = 40_000
GREY = "autoaugment_cutout_grey"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, channels: int = 3, size: int = SIZE) -> Tensor:
    return torch.randint(1, 256, (n, channels, size, size), dtype=torch.uint8, generator=generator(9))


def place(dy: int, dx: int, flip: bool) -> dict[str, float]:
    return {"dy": (dy + 0.5) / 9, "dx": (dx + 0.5) / 9, "flip": 0.25 if flip else 0.75}


# -- every view --------------------------------------------------------------------------------------------------------


def test_these_are_built_in() -> None:
    assert sorted(VIEWS) == [
        "autoaugment_cutout", "autoaugment_cutout_grey", "erasing", "fixmatch", "none", "standard", "strong",
        "strong_erasing",
    ]  # fmt: skip
    assert all(spec.revision and spec.summary for spec in VIEWS.values())


@pytest.mark.parametrize("spec", VIEWS.values(), ids=VIEWS.get)
def test_draws_come_from_the_generator_alone(spec: ViewSpec) -> None:
    first, again, other = (spec.draws(200, generator(seed)) for seed in (7, 7, 8))
    for name, tensor in first.items():
        assert len(tensor) == 200
        assert torch.equal(tensor, again[name])
        assert not torch.equal(tensor, other[name])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("spec", VIEWS.values(), ids=VIEWS.get)
def test_each_image_by_its_own_draws(spec: ViewSpec, channels: int) -> None:
    """As a whole batch or one at a time, and in memory that nobody else holds."""
    images, before = noise(24, channels), noise(24, channels)
    view = EpochView(spec, INFO, 24, 5, CPU)
    together = view.images(images.clone(), 0, 24)
    for k in range(24):
        assert torch.equal(view.images(images[k : k + 1].clone(), k, k + 1)[0], together[k])
    assert torch.equal(images, before)
    assert torch.equal(together, images) == (spec.name == "none")


@pytest.mark.parametrize("name", ["standard", "strong", "autoaugment_cutout", "autoaugment_cutout_grey", "fixmatch"])
def test_the_same_draws_give_the_same_picture_at_double_size(name: str) -> None:
    """But for what rounding to whole pixels does at edges."""
    coarse = torch.rand(64, 3, 4, 4, generator=generator(1))

    def picture(size: int) -> Tensor:
        smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
        info = ViewInfo(Augmentation(size // 8, flip=True), (size, size))
        made = EpochView(VIEWS[name], info, 64, 5, CPU).images((smooth * 255).to(torch.uint8), 0, 64)
        return torch.nn.functional.adaptive_avg_pool2d(made.float(), 16)

    small, large = picture(32), picture(64)
    agreement = torch.corrcoef(torch.stack([small.flatten(), large.flatten()]))[0, 1]
    assert float((small - large).abs().mean()) < 10
    assert float(agreement) > 0.95


@pytest.mark.parametrize("rehearsal", [meta_device, fake_accelerator])
@pytest.mark.parametrize("spec", VIEWS.values(), ids=VIEWS.get)
def test_no_view_waits_for_the_device(spec: ViewSpec, rehearsal: Any) -> None:
    with rehearsal() as device:
        view = EpochView(spec, INFO, 6, 5, device)
        images = noise(6).to(device.torch)
        with operations() as found:
            made = view.images(images, 0, 6)
        assert (made.shape, made.device.type) == ((6, 3, SIZE, SIZE), device.torch.type)
        assert found.read_backs == []


# -- standard ----------------------------------------------------------------------------------------------------------


def test_every_crop_and_flip_equals_torchvisions() -> None:
    image = noise(1)
    draws = {key: torch.tensor([place(*p)[key] for p in PLACES]) for key in ("dy", "dx", "flip")}
    made = crop_and_flip(image.expand(len(PLACES), -1, -1, -1), draws, INFO)
    for (dy, dx, flip), found in zip(PLACES, made, strict=True):
        expected = vision.crop(vision.pad(image[0], [PADDING]), dy, dx, SIZE, SIZE)
        assert torch.equal(found, vision.hflip(expected) if flip else expected)


def test_all_162_pictures_are_drawn_about_equally_often() -> None:
    n = 162 * 200
    draws = VIEWS["standard"].draws(n, generator(1))
    dy, dx = ((draws[name] * 9).long().tolist() for name in ("dy", "dx"))
    seen = Counter(zip(dy, dx, (draws["flip"] < 0.5).tolist(), strict=True))
    assert set(seen) == set(PLACES)
    chi_squared = sum((count - 200) ** 2 / 200 for count in seen.values())
    assert chi_squared < 161 + 4 * (2 * 161) ** 0.5  # four standard deviations above its mean


def test_what_the_dataset_lacks_is_left_out() -> None:
    images, draws = noise(6), VIEWS["standard"].draws(6, generator())
    assert torch.equal(crop_and_flip(images, draws, ViewInfo(Augmentation(), (SIZE, SIZE))), images)
    flipped = crop_and_flip(images, draws, ViewInfo(Augmentation(flip=True), (SIZE, SIZE)))
    assert all(torch.equal(one, a) or torch.equal(one, a.flip(2)) for one, a in zip(flipped, images, strict=True))


def test_draws_are_these_numbers() -> None:
    """They enter every comparison of runs, so a change of them is a change of the view's revision."""
    draws = VIEWS["standard"].draws(3, generator())
    assert {name: [round(v, 4) for v in values.tolist()] for name, values in draws.items()} == {
        "dy": [0.4963, 0.7682, 0.0885],
        "dx": [0.1320, 0.3074, 0.6341],
        "flip": [0.4901, 0.8964, 0.4556],
    }


# -- strong, autoaugment_cutout ----------------------------------------------------------------------------------------


def frequencies(values: Tensor) -> list[float]:
    return [float((values == value).float().mean()) for value in values.unique()]


def test_randaugment_draws_each_operation_alike_to_both_sides() -> None:
    defaults = RandAugment()
    assert (defaults.num_ops, defaults.magnitude, defaults.num_magnitude_bins) == (2, 9, 31)
    draws = strong.draw(MANY, generator())
    assert {OPERATIONS[k].replace("_", "") for k in draws["operation"].unique().tolist()} == {
        name.lower() for name in defaults._AUGMENTATION_SPACE
    }
    for number in range(2):
        assert frequencies(draws["operation"][:, number]) == pytest.approx([1 / 14] * 14, abs=0.006)
        assert frequencies(draws["level"][:, number]) == pytest.approx([0.5] * 2, abs=0.012)
    assert draws["level"].abs().unique().tolist() == pytest.approx([9 / 30])


def test_the_policy_is_the_papers() -> None:
    published = AutoAugment(AutoAugmentPolicy.CIFAR10)._policies
    operation, probability, level = autoaugment_cutout.policy()
    names = [[OPERATIONS[k].replace("_", "") for k in pair] for pair in operation.tolist()]
    chances = [[round(p, 3) for p in pair] for pair in probability.tolist()]
    magnitudes = [[round(9 * m) for m in pair] for pair in level.tolist()]
    found = [tuple(zip(*row, strict=True)) for row in zip(names, chances, magnitudes, strict=True)]
    assert found == [tuple((name.lower(), p, m or 0) for name, p, m in pair) for pair in published]


def test_autoaugment_does_each_operation_as_often_as_the_policy_says() -> None:
    operation, probability, _ = autoaugment_cutout.policy()
    drawn = autoaugment_cutout.draw(MANY, generator())["operation"]
    for number in range(2):
        for name in OPERATIONS[1:]:
            share = float((probability[:, number] * (operation[:, number] == OPERATIONS.index(name))).sum()) / 25
            found = float((drawn[:, number] == OPERATIONS.index(name)).float().mean())
            assert found == pytest.approx(share, abs=0.008), name


@pytest.mark.parametrize("size", [32, 64])
def test_cutout_is_a_square_of_half_the_side_that_may_hang_over(size: int) -> None:
    images = torch.ones(4, 3, size, size, dtype=torch.uint8)
    middles = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.999, 0.999], [0.5, 0.0]])
    holes = autoaugment_cutout.cut_out(images, middles[:, 0], middles[:, 1]) == 0
    q = size // 4

    def extent(marked: Tensor) -> tuple[int, int]:
        places = marked.nonzero().flatten().tolist()
        assert places == list(range(places[0], places[-1] + 1))
        return places[0], places[-1] + 1

    edges = [[extent(hole[0].any(1)), extent(hole[0].any(0))] for hole in holes]
    assert edges == [
        [(q, 3 * q), (q, 3 * q)],
        [(0, q), (0, q)],
        [(size - 1 - q, size), (size - 1 - q, size)],
        [(q, 3 * q), (0, q)],
    ]
    assert all(bool((hole == hole[:1]).all()) for hole in holes)


@pytest.mark.parametrize("outside", [0, 128])
def test_what_comes_from_outside_the_image_is_black_or_grey(outside: int) -> None:
    """A grey image has an edge where it was moved over black, and none over grey."""
    images = torch.full((5, 3, SIZE, SIZE), 128, dtype=torch.uint8)
    moving = torch.tensor([OPERATIONS.index(n) for n in ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")])
    moved = operate(images, moving, torch.full((5,), 0.9), outside)
    corner = {"dy": torch.zeros(5), "dx": torch.zeros(5), "flip": torch.ones(5)}
    cropped = crop_and_flip(images, corner, INFO, outside)
    for found in (moved, cropped):
        edges = (found == outside).flatten(1).any(1) & (found == 128).flatten(1).any(1)
        assert edges.all()
        assert set(found.unique().tolist()) == {outside, 128}


def test_the_grey_view_is_the_black_one_over_grey() -> None:
    images = noise(200)
    draws = autoaugment_cutout.draw(200, generator())
    draws["operation"] = torch.zeros_like(draws["operation"])
    black, grey = (VIEWS[name].apply(images.clone(), draws, INFO) for name in ("autoaugment_cutout", GREY))
    assert (grey[black != 0] == black[black != 0]).all()
    filled = grey[black == 0]
    assert set(filled.unique().tolist()) == {0, 128}, "what is cut out stays black"


# -- fixmatch ----------------------------------------------------------------------------------------------------------


def test_fixmatch_draws_each_operation_alike_and_magnitudes_over_their_range() -> None:
    draws = fixmatch.draw(MANY, generator())
    for number in range(2):
        assert frequencies(draws["operation"][:, number]) == pytest.approx([1 / 14] * 14, abs=0.006)

    def levels(name: str) -> Tensor:
        return draws["level"][draws["operation"] == OPERATIONS.index(name)]

    for name in ("brightness", "color", "contrast", "sharpness"):
        factor = 1 + 0.9 * levels(name)
        assert (float(factor.min()), float(factor.max())) == pytest.approx((0.05, 0.95), abs=0.003)
    for name, most in (("rotate", 1), ("shear_x", 1), ("translate_y", 0.3 * 331 / 150)):
        assert (float(levels(name).min()), float(levels(name).max())) == pytest.approx((-most, most), abs=0.003)
    bits = 8 - 4 * levels("posterize")
    assert bits.unique().tolist() == [4, 5, 6, 7]
    assert frequencies(bits) == pytest.approx([0.25] * 4, abs=0.03)
    assert (float(levels("solarize").min()), float(levels("solarize").max())) == pytest.approx((0, 1), abs=0.003)
    assert not levels("identity").any()


@pytest.mark.parametrize(("channels", "colours"), [(3, [125, 123, 114]), (1, [121])])
def test_fixmatch_covers_a_square_of_its_size_with_grey(channels: int, colours: list[int]) -> None:
    size = 32
    draws = {
        "hole_y": torch.tensor([0.5, 0.0, 0.99, 0.5]),
        "hole_x": torch.tensor([0.5, 0.5, 0.99, 0.25]),
        "hole": torch.tensor([0.5, 0.5, 0.25, 0.0]),
    }
    made = fixmatch.covered(torch.zeros(4, channels, size, size, dtype=torch.uint8), draws)
    extents = []
    for image in made:
        hole = image[0] != 0
        rows, columns = (hole.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
        extents.append((rows[0], rows[-1], columns[0], columns[-1]))
        assert bool(hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())
    # From half a side before the middle, or the edge, over a side with both ends.
    assert extents == [(8, 24, 8, 24), (0, 16, 8, 24), (27, 31, 27, 31), (16, 16, 8, 8)]
    assert made[0, :, 16, 16].tolist() == colours


# -- erasing -----------------------------------------------------------------------------------------------------------


def test_half_of_the_images_are_erased_by_rectangles_of_the_papers_sizes() -> None:
    draws = erasing.draw(MANY, generator())
    erased = draws["height"] > 0
    area, ratio = draws["height"] * draws["width"], draws["height"] / draws["width"]
    assert float(erased.float().mean()) == pytest.approx(0.5, abs=0.01)
    assert (float(area[erased].min()), float(area[erased].max())) == pytest.approx((0.02, 0.4), abs=0.001)
    assert (float(ratio[erased].min()), float(ratio[erased].max())) == pytest.approx((0.3, 10 / 3), abs=0.02)
    # Uniform, but for what did not fit: large and long ones.
    assert float(area[erased].mean()) == pytest.approx(0.21, abs=0.01)
    assert max(float(draws[side].max()) for side in ("height", "width")) < 1
    assert torch.equal(draws["width"] > 0, erased)


def test_a_rectangle_is_overwritten_wherever_it_fits() -> None:
    n, size = 4000, 10
    images = torch.zeros(n, 2, size, size, dtype=torch.uint8)
    draws = {**erasing.draw(n, generator()), "height": torch.full((n,), 0.4), "width": torch.full((n,), 0.7)}
    made = erasing.erase(images, draws)
    holes = made.amax(1) > 0
    rows, columns = holes.any(2), holes.any(1)
    assert (int(rows.sum(1).max()), int(columns.sum(1).max())) == (4, 7)
    assert sorted(set(rows.int().argmax(1).tolist())) == list(range(7))
    assert sorted(set(columns.int().argmax(1).tolist())) == list(range(4))
    values = made[:, :, 4, 5][holes[:, 4, 5]].float()
    assert float(values.mean()) == pytest.approx(127.5, abs=4)
    assert float(values.std()) == pytest.approx(73.9, abs=3)


def test_the_noise_has_no_pattern() -> None:
    made = erasing.noise(torch.randint(2**31, (300,), generator=generator()), 1000).double()
    counts = torch.bincount(made.long().flatten(), minlength=256).double()
    assert float(((counts - counts.mean()) ** 2 / counts.mean()).sum()) < 255 + 5 * (2 * 255) ** 0.5
    centred = made - made.mean()
    neighbours = [(centred[:, k:], centred[:, :-k]) for k in (1, 2, 32)]
    for one, other in (*neighbours, (centred[1:], centred[:-1])):
        assert abs(float((one * other).mean() / centred.var())) < 0.01


def test_what_is_not_erased_stays() -> None:
    images = noise(50)
    draws = {**erasing.draw(50, generator()), "height": torch.zeros(50), "width": torch.zeros(50)}
    assert torch.equal(erasing.erase(images, draws), images)


# -- strong, then erasing ---------------------------------------------------------------------------------------------


def test_a_quarter_of_the_strong_images_is_erased() -> None:
    draws = VIEWS["strong_erasing"].draws(MANY, generator(3))
    assert float((draws["height"] > 0).float().mean()) == pytest.approx(0.25 * 0.98, abs=0.01)
    images, few = noise(64), {name: tensor[:64] for name, tensor in draws.items()}
    made = VIEWS["strong_erasing"].apply(images, few, INFO)
    plain = strong.strong(images, few, INFO)
    whole = few["height"] == 0
    assert torch.equal(made[whole], plain[whole])
    assert torch.equal(made, erasing.erase(plain, few))


# -- pictures that can be counted --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("augmentation", "count"),
    [(STANDARD, 162), (Augmentation(4, False), 81), (Augmentation(0, True), 2), (Augmentation(0, False), 1)],
)
def test_standard_has_so_many_pictures_and_each_number_gives_one(augmentation: Augmentation, count: int) -> None:
    info = ViewInfo(augmentation, (SIZE, SIZE))
    finite = VIEWS["standard"].finite
    assert finite is not None
    assert finite.count(info) == count
    image = noise(1).expand(count, -1, -1, -1)
    numbers = torch.arange(count)
    drawn = finite.draws(numbers, info)
    assert torch.equal(finite.number(drawn, info), numbers)
    pictures = crop_and_flip(image.clone(), drawn, info)
    assert len(torch.unique(pictures, dim=0)) == count


def test_draws_of_one_number_give_one_picture() -> None:
    finite = VIEWS["standard"].finite
    images = noise(MANY // 40)
    draws = VIEWS["standard"].draws(len(images), generator(3))
    numbers = finite.number(draws, INFO)
    assert int(numbers.min()) == 0
    assert int(numbers.max()) == 161
    again = crop_and_flip(images.clone(), finite.draws(numbers, INFO), INFO)
    assert torch.equal(again, crop_and_flip(images.clone(), draws, INFO))


def test_which_views_say_how_many_pictures_they_have() -> None:
    assert {name for name, spec in VIEWS.items() if spec.finite is not None} == {"none", "standard"}
    assert VIEWS["none"].finite.count(INFO) == 1


@pytest.mark.parametrize(
    ("finite", "message"),
    [
        (FiniteView(lambda info: 2, lambda draws, info: draws["place"]), r"must give int64 \[5\], got float32 \[5\]"),
        (
            FiniteView(lambda info: 2, lambda draws, info: draws["place"].long() + 2),
            "gives 2, and there are 2 pictures",
        ),
    ],
)
def test_numbers_that_are_none_are_the_views_fault(finite: FiniteView, message: str) -> None:
    def draws(n: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"place": torch.rand(n, generator=generator)}

    spec = ViewSpec("odd", draws, lambda images, draws, info: images, finite=finite)
    with pytest.raises(CellError, match=message):
        EpochView(spec, INFO, 5, 0, CPU).numbers()
