"""How much faster a group is than its cells one by one, and batched augmentation than one image at a time.

    python benchmarks/speed/lockstep.py [--pair resnet56:resnet20] [--methods kd,dkd,...] [--rounds 3]

Prints ratios measured in this one process, each round measuring both sides in turn; medians over the rounds.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from kdharness.api import Augmentation, Preprocessing
from kdharness.api.executors import WorkerSettings
from kdharness.api.prepared import Prepare
from kdharness.api.specs import ViewInfo
from kdharness.data.images import DeviceImages, as_pixels
from kdharness.data.views import EpochView
from kdharness.device.door import open_device
from kdharness.engine.group import train_group
from kdharness.planning import make_plan
from kdharness.planning.cell import Cell
from kdharness.planning.cell_group import CellGroup
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import parse
from kdharness.registry.manager import Registry

PLUGIN = Path(__file__).with_name("random_images.py")


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def lockstep(pair: str, methods: tuple[str, ...], rounds: int, recipe: dict[str, object]) -> tuple[float, float]:
    """Medians of the seconds one by one and as a group, for one epoch of every method."""
    registry = Registry.load((PLUGIN,))
    content = {"name": "speed", "datasets": ["random_images"], "pairs": [pair], "seeds": [0], "recipe": recipe}
    plan = make_plan(parse(content, "speed"), Selection(methods=methods), registry)
    cells = [planned.cell for planned in plan.cells if not planned.skip]
    students = [cell for cell in cells if cell.role == "student"]
    with tempfile.TemporaryDirectory() as folder:
        keep = frozenset(cell.key for cell in cells)
        settings = WorkerSettings(Path(folder), Path(folder), ("cpu",), plugin_files=(PLUGIN,), keep_weights=keep)

        def train(group: list[Cell]) -> None:
            train_group(CellGroup(0, tuple(group)), settings, "cpu", lambda event: None, lambda cell: None)

        train([cell for cell in cells if cell.role == "teacher"])
        train(students)  # warms up allocator and caches
        solo, group = [], []
        for _ in range(rounds):
            solo.append(seconds(lambda: [train([cell]) for cell in students]))
            group.append(seconds(lambda: train(students)))
    return statistics.median(solo), statistics.median(group)


def augmentation(rounds: int, count: int = 512, batch: int = 64) -> tuple[float, float]:
    """Medians of the seconds to crop, flip and normalise `count` images, one at a time as PIL images and batched."""
    from PIL import Image
    from random_images import load  # type: ignore[import-not-found]
    from torchvision import transforms

    dataset = load(None)
    pictures = [Image.fromarray(p.transpose(1, 2, 0)) for p in dataset.splits["train"].images[:count]]
    steps = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    one = transforms.Compose([*steps, transforms.Normalize(dataset.mean, dataset.std)])
    images = DeviceImages(dataset, "train", torch.device("cpu")).images
    prepare = Prepare(Preprocessing(dataset.mean, dataset.std), (3, 32, 32), torch.device("cpu"))

    standard = Registry.load().views["standard"].spec

    def batched() -> None:
        view = EpochView(standard, ViewInfo(Augmentation(4, True), (32, 32)), count, 0, open_device("cpu"))
        for start in range(0, count, batch):
            rows = torch.arange(start, start + batch)
            prepare(as_pixels(view.images(images[rows], start, start + batch)))

    def single() -> None:
        for start in range(0, count, batch):
            torch.stack([one(picture) for picture in pictures[start : start + batch]])

    batched()
    pairs = [(seconds(single), seconds(batched)) for _ in range(rounds * 5)]
    first, second = np.median(np.array(pairs), axis=0)
    return float(first), float(second)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="resnet56:resnet20")
    parser.add_argument("--methods", default="kd,dkd,dist,lskd,fitnet,at,sp,pkt")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    methods = tuple(arguments.methods.split(","))
    print(f"{platform.machine()}, torch {torch.__version__}, one thread, {len(methods)} methods, {arguments.pair}")
    plain = {"epochs": 1, "batch_size": 64}
    for label, recipe in {
        "fp32": plain,
        "fp32 channels_last": {**plain, "channels_last": True},
        "bf16 channels_last": {**plain, "channels_last": True, "precision": "bf16"},
    }.items():
        solo, group = lockstep(arguments.pair, methods, arguments.rounds, recipe)
        print(f"{label}: one by one {solo:.1f} s, as a group {group:.1f} s, ratio {solo / group:.2f}", flush=True)
    single, batched = augmentation(arguments.rounds)
    print(f"crop, flip, normalise: one at a time {single:.3f} s, batched {batched:.4f} s, ratio {single / batched:.1f}")


if __name__ == "__main__":
    main()
