"""What a cell's predictions and accuracies are of: its final network, every test image, in the dataset's order."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from kdharness_plugins.datasets import digits
from safetensors.torch import load_file

from kdharness.api import DataRequest
from kdharness.results.record import Record
from kdharness.testing import Lab


def final_network(lab: Lab, record: Record) -> torch.nn.Module:
    network: torch.nn.Module = lab.registry.get("model", record.cell.student).spec.factory(10, (1, 8, 8))
    network.load_state_dict(load_file(lab.folder.cell(record.cell.key).model))
    return network.eval()


def images_of_test() -> tuple[torch.Tensor, np.ndarray]:
    """Normalised by hand, and their labels."""
    split = digits.load(DataRequest(Path("nowhere"))).splits["test"]
    return (torch.from_numpy(split.images).float() / 255 - 0.3052) / 0.3759, split.targets


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Record]:
    """A network with batch normalisation, whose outputs in training mode are others."""
    lab = Lab(tmp_path_factory.mktemp("trained") / "lab")
    plan = lab.plan(methods=("vanilla",), scenarios=("few100",), pairs=("conv32:resnet8",), epochs=3)
    (record,) = lab.train_plan(plan).values()
    assert record.status == "ok", record.traceback
    return lab, record


def of_main(record: Record) -> Mapping[str, float]:
    return {row.metric: row.value for row in record.metrics if row.split == "test"}


def test_logits_are_those_of_the_final_network_on_every_test_image(trained: tuple[Lab, Record]) -> None:
    lab, record = trained
    images, targets = images_of_test()
    with torch.no_grad():
        expected = final_network(lab, record)(images)
    with np.load(lab.folder.cell(record.cell.key).predictions) as saved:
        assert saved["targets"].tolist() == targets.tolist()
        assert saved["logits"].dtype == np.float16
        found = torch.from_numpy(saved["logits"]).float()
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)


def test_accuracies_are_counted_on_them(trained: tuple[Lab, Record]) -> None:
    lab, record = trained
    images, targets = images_of_test()
    with torch.no_grad():
        order = final_network(lab, record)(images).argsort(dim=1, descending=True).numpy()
    for column, k in (("top1", 1), ("x_top3", 3), ("top5", 5)):
        hits = (order[:, :k] == targets[:, None]).any(1)
        assert record.values[column] == pytest.approx(100 * hits.mean(), abs=1e-9), column
        assert of_main(record)[f"top{k}"] == record.values[column]
    with lab.folder.cell(record.cell.key).history.open() as file:
        seen = [float(r["value"]) for r in csv.DictReader(file) if (r["split"], r["metric"]) == ("test", "top1")]
    assert seen[-1] == pytest.approx(record.values["top1"])


def test_what_a_cell_saw_is_counted(trained: tuple[Lab, Record]) -> None:
    _, record = trained
    values = record.values
    assert values["x_train_images"] == 100
    assert (values["epochs"], values["selection"]) == (3, "last")
    images = values["images_per_second"] * values["alone_seconds"]
    assert images == pytest.approx(300)
