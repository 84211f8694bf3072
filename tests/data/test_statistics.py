"""Means and deviations of public images: what they are, that private images are no part of them, and who uses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kdharness.api import Preprocessing
from kdharness.data.prepare import Data, DataStore
from kdharness.data.statistics import channel_statistics, pixel_statistics
from kdharness.device.door import open_device
from kdharness.engine.world import World
from kdharness.planning.plan import Plan
from kdharness.protocol.benchmark import parse
from kdharness.testing import Lab


def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (7, 3, 4, 5), dtype=np.uint8)


def test_channels_have_their_own_mean_and_deviation() -> None:
    found = channel_statistics(images())
    np.testing.assert_allclose(found.mean, (images() / 255).mean(axis=(0, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(found.std, (images() / 255).std(axis=(0, 2, 3)), rtol=1e-12)


def test_a_constant_channel_is_not_scaled() -> None:
    given = images()
    given[:, 1] = 51
    found = channel_statistics(given)
    assert (found.mean[1], found.std[1]) == (0.2, 1.0)


def test_pixels_have_their_own_mean_in_units_of_pixel_values() -> None:
    found = pixel_statistics(images())
    np.testing.assert_allclose(found.mean, (images() / 255).mean(axis=0).ravel(), rtol=1e-14)
    assert found.std == (1 / 255,)
    assert found.input_shape((3, 4, 5)) == (3, 4, 5)


def plan_under(lab: Lab, statistics: str | None, methods: tuple[str, ...] = ("rona",)) -> Plan:
    said = {} if statistics is None else {"statistics": statistics}
    content = {
        "name": "small", "datasets": ["digits"], "pairs": ["conv4:conv4"], "scenarios": ["mine"], "seeds": [0],
        "run": list(methods), "recipe": {"epochs": 1}, "scenario": {"mine": {"kind": "split", **said}},
    }  # fmt: skip
    return lab.plan(parse(content, "test"))


def data_under(lab: Lab, statistics: str | None) -> Data:
    store = World(lab.registry, lab.folder, lab.path, open_device("cpu")).data
    return store.of(plan_under(lab, statistics).cells[0].cell)


@pytest.mark.parametrize("statistics", ["public", "public_pixels"])
def test_no_private_image_is_part_of_them(lab: Lab, monkeypatch: pytest.MonkeyPatch, statistics: str) -> None:
    found = data_under(lab, statistics).preprocessing
    honest = DataStore._load

    def spoiled(self: DataStore, cell: Any) -> Any:
        loaded = honest(self, cell)
        train = loaded.dataset.splits["train"]
        private = data_under_rule.host.indices["private"]
        train.images[private] = 255 - train.images[private]
        return loaded

    data_under_rule = data_under(lab, statistics)
    assert len(data_under_rule.host.indices["private"]) == 200
    monkeypatch.setattr(DataStore, "_load", spoiled)
    assert data_under(lab, statistics).preprocessing == found
    public = data_under_rule.dataset.splits["train"].images[data_under_rule.host.indices["public"]]
    rule = {"public": channel_statistics, "public_pixels": pixel_statistics}[statistics]
    assert found == rule(public)


def test_all_is_the_datasets_own_and_moves_no_key(lab: Lab) -> None:
    dataset = data_under(lab, None).dataset
    assert data_under(lab, "all").preprocessing == Preprocessing(dataset.mean, dataset.std)
    keys = {s: [p.cell.key for p in plan_under(lab, s).cells] for s in (None, "all", "public", "public_pixels")}
    assert keys[None] == keys["all"]
    assert not set(keys["all"]) & set(keys["public"])
    assert not set(keys["public"]) & set(keys["public_pixels"])


def test_networks_of_such_cells_use_them(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Teachers, their public twins and students alike; what is stored of them is read with the same."""
    used: set[Preprocessing] = set()
    prepared = Data.preprocessing.func

    def noted(self: Data) -> Preprocessing:
        used.add(found := prepared(self))
        return found

    monkeypatch.setattr(Data.preprocessing, "func", noted)
    records = lab.train_plan(plan_under(lab, "public_pixels", ("rona", "kd")))
    assert {str(r.status): r.error_message for r in records.values()} == {"ok": ""}
    assert {len(p.mean) for p in used} == {64}
