"""How long `status`, `report` and `leaderboard` take on a large results folder.

    python benchmarks/speed/reading.py [--cells 10000] [--datasets 5] [--methods 25] [--rounds 3]

Fabricates a folder without training anything: datasets of eight pairs, methods and variants, with what real records
hold, a few failures, a plan per dataset and one of all. Prints CPU seconds and peak memory of whole processes, start
included; the least of the rounds. First with nothing kept of an earlier reading, then with what the first left.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from kdharness.api.requirements import Pair
from kdharness.planning.cell import STUDENT, TEACHER, Cell, TeacherSource, digest
from kdharness.planning.plan import Plan, PlannedCell
from kdharness.results.record import MetricRow, Record, Status
from kdharness.results.store import ResultsFolder

DATASETS = ("cifar10", "cifar100", "digits", "mnist", "svhn")
TEACHERS = ("resnet110", "resnet56", "vgg13", "wrn_40_2")
STUDENTS = ("resnet20", "resnet8")
METHODS = (
    *("vanilla", "kd", "at", "byot", "cc", "dist", "dkd", "dml", "fitnet", "label_smoothing", "lskd", "meal", "nst"),
    *("pkt", "rkd", "rona", "sp", "vid", "kd[temperature=2]", "kd[temperature=8]", "at[weight=10]", "dkd[beta=2]"),
    *("fitnet[without=hint]", "rkd[without=angle]", "sp[weight=100]"),
)
WITHOUT_TEACHER = ("vanilla", "byot", "dml", "label_smoothing")
EXITS = ("exit3", "exit1", "exit2", "ensemble")
PLUGIN = {"package": "kdharness", "revision": 1}
PARAMETERS = {"temperature": 4.0, "weight": 0.9, "layers": ["stage1", "stage2", "stage3"], "reduction": "mean"}
RECIPE = {
    "epochs": 240, "batch_size": 64, "optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": False,
    "weight_decay": 0.0005, "schedule": "multistep", "milestones": [0.625, 0.75, 0.875], "gamma": 0.1,
    "warmup_epochs": 0.0, "augmentation": "standard", "precision": "fp32", "channels_last": False,
}  # fmt: skip
MEASURED = (
    "ece", "mia_advantage", "nll", "noise_memorisation", "noise_recovery", "teacher_agreement", "teacher_mia_advantage",
    "teacher_noise_memorisation", "teacher_noise_recovery", "top1", "top3", "top5",
)  # fmt: skip


def teacher(dataset: str, model: str) -> Cell:
    return cell(dataset, TEACHER, "vanilla", model, 0, ())


def student(dataset: str, pair: tuple[str, str], name: str, seed: int) -> Cell:
    source = TeacherSource(pair[0], teacher(dataset, pair[0]).key)
    return cell(dataset, STUDENT, name, pair[1], seed, () if name in WITHOUT_TEACHER else (source,))


def cell(dataset: str, role: str, name: str, model: str, seed: int, teachers: tuple[TeacherSource, ...]) -> Cell:
    method, _, variant = name.rstrip("]").partition("[")
    document = {
        "schema": 1,
        "numerics": 1,
        "dataset": {"name": dataset, "identity": f"sha256:{dataset:0<64}", "parameters": {}, "plugin": PLUGIN},
        "scenario": {"kind": "clean"},
        "recipe": RECIPE,
        "role": role,
        "subset": "train",
        "method": {"name": method, "variant": variant, "parameters": PARAMETERS, "without": [], "plugin": PLUGIN},
        "student": {"name": model, "plugin": PLUGIN},
        "teachers": [{"name": source.model, "source": source.cell, "plugin": PLUGIN} for source in teachers],
        "evaluation": {"split": "test", "every": 0, "validation": 0.0},
        "seed": seed,
    }
    return Cell(
        key=digest(document),
        benchmark="large",
        protocol=digest({"dataset": dataset}, 12),
        deviations="",
        dataset=dataset,
        dataset_parameters={},
        scenario="clean",
        role=role,
        method=method,
        variant=variant,
        parameters=PARAMETERS,
        method_package="kdharness",
        method_revision="1",
        pair=Pair(tuple(source.model for source in teachers), model),
        teachers=teachers,
        reference_teachers=teachers,
        seed=seed,
        regime="no_teacher" if name in WITHOUT_TEACHER[1:] else "",
        document=document,
    )


def record(of: Cell, draws: np.random.Generator) -> Record:
    """One in fifty has failed, the numbers of the others are random."""
    times = {"started_at": "2026-01-31T12:00:00Z", "finished_at": "2026-01-31T12:10:00Z"}
    if of.role == STUDENT and draws.random() < 0.02:
        error = {"error_type": "NonFiniteLoss", "error_message": "loss became nan", "traceback": "Traceback ...\n" * 20}
        return Record(of, Status.FAILED, **times, **error)  # type: ignore[arg-type]
    top1 = float(draws.normal(70 + len(of.method) / 2, 0.4))
    curves = {
        "nll": 1.2345678901234567,
        "ece": 0.16486539550803905,
        "top5": 96.48682559598495,
        "top1_test_oracle": top1,
    }
    costs = {
        "train_seconds": float(draws.normal(600, 9)), "shared_seconds": 20.003473065000037, "group_size": 4,
        "alone_seconds": 640.5436294847,
        "images_per_second": 5645.943344592687, "peak_memory_bytes": 131206480, "student_parameters": 278324,
        "student_macs": 41214976, "epochs": 240, "x_train_images": 50000,
    }  # fmt: skip
    words = {
        "selection": "last", "device": "cpu", "precision": "fp32", "kdharness_version": "0.1.0",
        "torch_version": "2.14.1", "fingerprint": "x86_64 AVX512 1 thread torch2.14.1 fp32",
    }  # fmt: skip
    taught = {
        "teacher_top1": 74.31, "teacher_agreement": 79.87431744040151, "teacher_digest": "2f61017894a4f82d",
        "x_teacher_parameters": 1730714, "x_teacher_macs": 254934528, "x_parameter_ratio": 6.21834264,
        "x_mac_ratio": 6.185482626, "x_latency_ratio": 2.6955707143298284,
    }  # fmt: skip
    values = {**curves, "top1": top1, "x_top3": 90.1, **costs, **words, **(taught if of.teachers else {})}
    return Record(of, Status.OK, values, tuple(metrics(of, top1)), **times, measured=MEASURED)


def metrics(of: Cell, top1: float) -> Iterator[MetricRow]:
    names = EXITS if of.method == "byot" else ("student",)
    for number, name in enumerate(names):
        for metric in ("ece", "nll", "teacher_agreement", "top3", "top5"):
            yield MetricRow(name, "test", metric, 0.16486539550803905 * (number + 1))
        yield MetricRow(name, "test", "top1", top1 - number)
        if of.method == "byot":
            yield MetricRow(name, "test", "macs", 41214976.0 / (number + 1))
            yield MetricRow(name, "test", "parameters", 278324.0 / (number + 1))


def names_of(count: int) -> list[str]:
    """METHODS and as many further variants as it takes."""
    return [*METHODS, *(f"kd[temperature={number}]" for number in range(10, 10 + count - len(METHODS)))][:count]


def fabricate(path: Path, count: int, datasets: int = len(DATASETS), methods: int = len(METHODS)) -> int:
    """Writes the folder with as many seeds as make `count` cells or more; returns how many it has."""
    draws = np.random.default_rng(0)
    pairs, names = [(t, s) for t in TEACHERS for s in STUDENTS], names_of(methods)
    per_seed = datasets * sum(len(STUDENTS if name in WITHOUT_TEACHER else pairs) for name in names)
    seeds = range(-(-count // per_seed))
    folder = ResultsFolder(path)
    everything: list[PlannedCell] = []
    for dataset in DATASETS[:datasets]:
        own = {
            c.key: PlannedCell(c)
            for c in (
                *(teacher(dataset, model) for model in TEACHERS),
                *(student(dataset, pair, name, s) for pair in pairs for name in names for s in seeds),
            )
        }
        write(path / "plans" / f"{dataset}.json", Plan("large", tuple(own.values()), metrics=MEASURED).to_json())
        everything += own.values()
        for planned in own.values():
            write(folder.cell(planned.cell.key).record, {**record(planned.cell, draws).to_json(), "files": {}})
    if datasets > 1:
        write(path / "plans" / "whole.json", Plan("large", tuple(everything), metrics=MEASURED).to_json())
    return len(everything)


def write(path: Path, data: Mapping[str, object]) -> None:
    """The file as a run leaves it, without waiting for the disk, which takes longer than everything else here."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"digest":"{hashlib.sha256(text.encode()).hexdigest()}",{text[1:]}')


def measured(*arguments: str) -> tuple[float, int]:
    """CPU seconds and peak memory in bytes of `python -m kdharness` with the arguments, on one thread."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = [sys.executable, "-m", "kdharness", *arguments]
    process = subprocess.Popen(run, stdout=subprocess.DEVNULL, env={**os.environ, **threads})
    _, code, used = os.wait4(process.pid, 0)
    if code:
        raise SystemExit(f"{' '.join(run)} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--datasets", type=int, default=len(DATASETS), help="at most 5; each has eight pairs")
    parser.add_argument("--methods", type=int, default=len(METHODS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the folder here, and use it again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = (arguments.folder or Path(temporary)) / "large"
        if not path.exists():
            # Apart: a command starts with the peak memory of the process that starts it.
            with get_context("spawn").Pool(1) as pool:
                size = arguments.cells, arguments.datasets, arguments.methods
                print(f"{pool.apply(fabricate, (path, *size))} cells")
        print(f"{platform.machine()}, Python {platform.python_version()}")
        board = ["leaderboard", str(path), "--out", str(Path(temporary) / "board.csv")]
        page = ["report", str(path), "--format", "html"]
        for is_kept in (False, True):
            print("when nothing changed since the last command:" if is_kept else "at first:")
            for command in (["--version"], ["status", str(path)], board, ["report", str(path)], page):
                show(command, path if not is_kept else None, arguments.rounds)


def show(command: list[str], forgets: Path | None, rounds: int) -> None:
    """Prints the least of the rounds. forgets: the folder of which nothing is kept before each."""
    found = []
    for _ in range(rounds):
        if forgets is not None:
            shutil.rmtree(forgets / ".kept", ignore_errors=True)
        found.append(measured(*command))
    seconds, memory = min(found)
    shown = " ".join(word for word in command if "/" not in word)
    print(f"{shown}: {seconds:.2f} s, {memory / 2**20:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
