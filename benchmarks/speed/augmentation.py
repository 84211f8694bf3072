"""How much faster pictures are cropped, flipped and normalised in batches on the device than one image at a time.

    python benchmarks/speed/augmentation.py [--images 512] [--rounds 15]

Prints the ratio of both, measured in turn in this one process; medians over the rounds.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from kdharness.api import DataRequest, Preprocessing
from kdharness.api.prepared import Prepare
from kdharness.api.specs import ViewInfo
from kdharness.data.images import DeviceImages, as_pixels
from kdharness.data.views import EpochView
from kdharness.device.door import open_device
from kdharness.registry.manager import Registry
from kdharness.speed import random_images
from kdharness.speed.plain_loop import Pictures

BATCH = 64


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def augmentation(images: int, rounds: int) -> tuple[float, float]:
    """Medians of the seconds for so many images, one at a time as PIL images and batched."""
    device = open_device("cpu")
    dataset = random_images.load(DataRequest(Path(), parameters={"images": images, "evaluated": 2}))
    one_by_one = Pictures(dataset, "train", dataset.augmentation)
    on_device = DeviceImages(dataset, "train", device.torch).images
    prepare = Prepare(Preprocessing(dataset.mean, dataset.std), random_images.SHAPE, device.torch)
    standard, info = Registry.load().views["standard"].spec, ViewInfo(dataset.augmentation, random_images.SHAPE[1:])

    def batched() -> None:
        view = EpochView(standard, info, images, 0, device)
        for start in range(0, images, BATCH):
            end = min(start + BATCH, images)
            prepare(as_pixels(view.images(on_device[torch.arange(start, end)], start, end)))

    def single() -> None:
        for start in range(0, images, BATCH):
            torch.stack([one_by_one[number][0] for number in range(start, min(start + BATCH, images))])

    batched()
    pairs = [(seconds(single), seconds(batched)) for _ in range(rounds)]
    first, second = (statistics.median(times) for times in zip(*pairs, strict=True))
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    single, batched = augmentation(given.images, given.rounds)
    print(f"{platform.machine()}, torch {torch.__version__}, one thread, {given.images} images")
    print(f"one at a time {single * 1e3:.1f} ms, batched {batched * 1e3:.1f} ms, ratio {single / batched:.1f}")


if __name__ == "__main__":
    main()
