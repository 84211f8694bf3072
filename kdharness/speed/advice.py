"""Which precision and layout pay on the machine at hand: measured side by side, kept for the runs to come."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from platformdirs import user_cache_path

from kdharness.device.device import Device
from kdharness.device.names import is_cpu
from kdharness.failures import Failure, attempt
from kdharness.results.files import write_atomic
from kdharness.speed.bed import Bed
from kdharness.speed.findings import Spread
from kdharness.speed.request import LAYOUTS, PRECISIONS, BenchRequest, Setting
from kdharness.speed.stopwatch import Stopwatch

# What is not at least so much faster is not worth other numbers.
LEAST_GAIN = 1.05

USUAL = Setting()


@dataclass(frozen=True)
class Advice:
    """What was measured for a pair. ratios: by setting, its time over that of fp32, round by round."""

    pair: str
    ratios: Mapping[Setting, Spread]

    @property
    def best(self) -> Setting:
        """The fastest setting of those that are faster beyond doubt: in every round, and enough in the median."""
        gains = {s: r.median for s, r in self.ratios.items() if r.high < 1 and r.median * LEAST_GAIN <= 1}
        return min(gains, key=lambda setting: gains[setting], default=USUAL)

    @property
    def sentence(self) -> str:
        """What pays, and the option that asks for it."""
        best, ratio = self.best, self.ratios[self.best]
        if best == USUAL:
            return f"{self.pair}: nothing is faster than fp32 here in every round; leave the recipe as it is"
        spread = f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"
        return f"{self.pair}: {best} takes {spread} of the time of fp32: {best.options}"


class Steps:
    """Training steps of a pair in one setting: the teacher's forward pass, the student's loss, gradient and update."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.teacher = bed.teacher()
        self.student = bed.student().train()
        self.optimizer = torch.optim.SGD(self.student.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        rows = bed.data.subsets["train"][: bed.request.batch_size]
        self.pixels, self.targets = bed.data.train.images[rows].float().div(255), bed.data.targets[rows]

    def __call__(self) -> None:
        self.bed.device.set_precision(self.bed.request.setting.precision)
        loss = F.cross_entropy((logits := self.student.run(self.pixels).logits), self.targets)
        if self.teacher is not None:
            with torch.no_grad():
                told = self.teacher.run(self.pixels).logits
            loss = loss + F.kl_div(logits.log_softmax(1), told.softmax(1), reduction="batchmean")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def settings_of(device: Device) -> list[Setting]:
    """Those that the device has, fp32 first."""
    precisions = [precision for precision in PRECISIONS if not device.lacks(precision)]
    return [Setting(precision, layout) for precision in precisions for layout in LAYOUTS]


def advise(request: BenchRequest, device: Device, folder: Path, tell: Callable[[str], None]) -> Advice:
    """Measures a step of the pair in each setting, in turn. tell: takes a line of progress."""
    steps = {}
    for number, setting in enumerate(settings_of(device)):
        path = folder / str(number)
        path.mkdir()
        steps[setting] = Steps(Bed(replace(request, setting=setting), path))
        tell(f"warming up: {setting}")
        steps[setting]()
    seconds: dict[Setting, list[float]] = {setting: [] for setting in steps}
    for number in range(request.repeats):
        tell(f"round {number + 1} of {request.repeats}")
        for setting, step in steps.items():
            stopwatch = Stopwatch(device)
            with stopwatch.lap():
                step()
            lap = stopwatch.laps[0]
            seconds[setting].append(lap.cpu if is_cpu(request.device) else lap.wall)
    usual = seconds[USUAL]
    ratios = {s: Spread.of([a / b for a, b in zip(each, usual, strict=True)]) for s, each in seconds.items()}
    return Advice(request.pair, ratios)


# -- what is kept ------------------------------------------------------------------------------------------------------


def kept_file() -> Path:
    """Where advice of this user's machines is."""
    return user_cache_path("kdharness") / "advice.json"


def machine(device: Device) -> str:
    """Advice holds for a machine and its versions."""
    return f"{platform.node()} {device.fingerprint('fp32')}"


def keep(advice: Advice, device: Device) -> None:
    """Puts it beside that of other pairs. A folder that cannot be written keeps nothing."""
    told = _kept()
    own = told.setdefault(machine(device), {})
    own[advice.pair] = {str(setting): ratio.median for setting, ratio in advice.ratios.items()}
    path = kept_file()

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(told, indent=1).encode())

    attempt(write)


def kept_ratio(device: Device, precision: str, pairs: Sequence[str]) -> tuple[str, float] | None:
    """A pair and how long the precision took there, as a multiple of fp32; of these pairs, else of any other.

    None where nothing was measured.
    """
    told = _kept().get(machine(device), {})
    for pair in (*pairs, *told):
        ratio = told.get(pair, {}).get(precision) if isinstance(told, dict) else None
        if isinstance(ratio, float):
            return pair, ratio
    return None


def _kept() -> dict[str, Any]:
    """{} for what is not there, or is none."""
    found = attempt(lambda: json.loads(kept_file().read_bytes()))
    return found if isinstance(found, dict) and not isinstance(found, Failure) else {}
