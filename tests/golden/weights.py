"""A change that moves code must move no bit: final weights and keys of tiny cells, against a file or another revision.

    python tests/golden/weights.py check   # this tree against weights.json, where that was made on such a machine
    python tests/golden/weights.py check --against REV   # against another revision, trained here and now
    python tests/golden/weights.py make             # weights.json anew, after a change that is meant to change numbers

It drives the command line and one metric plugin, which are contracts, so that it runs on any revision since 0.1.0.
Bits are those of a machine and its libraries: weights.json holds its fingerprint, and another machine says so.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
GOLDEN = HERE / "weights.json"
PROTOCOLS = ("methods", "networks", "precision", "other_pairs")

# By label of a cell: its key and its numbers.
Cells = dict[str, dict[str, str]]


def trained(protocol: str, root: Path | None = None, workers: int = 2) -> Cells:
    """Every cell of a protocol beside this file. root: the source tree that trains it, by default what is installed."""
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        if root is not None:
            environment["PYTHONPATH"] = _importable(root, Path(folder, "packages"))
        options = [
            "--plugin",
            str(HERE / "weight_digest.py"),
            "--out",
            folder,
            "--workers",
            str(workers),
            "--device",
            "cpu",
        ]
        command = [sys.executable, "-m", "kdharness", "run", str(HERE / f"{protocol}.toml"), *options]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{protocol}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return _cells(Path(folder, f"golden-{protocol}"))


def _importable(root: Path, folder: Path) -> str:
    """A folder in which a source tree's packages have the names that they are imported by; its entry points too."""
    folder.mkdir()
    for package, source in (
        ("kdharness", "kdharness"),
        ("kdharness_plugins", "plugins"),
        ("kdharness_benchmarks", "benchmarks"),
    ):
        (folder / package).symlink_to(root.resolve() / source)
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = folder / f"{project['name']}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    (metadata / "RECORD").touch()  # without it, it counts as a source tree that is being edited
    hooks = project["entry-points"]["kdharness"].items()
    (metadata / "entry_points.txt").write_text("\n".join(["[kdharness]", *(f"{k} = {v}" for k, v in hooks)]) + "\n")
    return str(folder)


def _cells(folder: Path) -> Cells:
    found: Cells = {}
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            names = ("role", "method", "variant", "teacher", "student", "scenario", "seed", "cell")
            # A method may have one address for several cells (a teacher on all data, and on the public part).
            label = " ".join(row[name] for name in names if row[name])
            kept = {name: row[name] for name in sorted(row) if name.startswith("x_weight_digest") or name == "top1"}
            found[label] = {"status": row["status"], **kept, **_losses(folder, row["cell"])}
    return found


def _losses(folder: Path, key: str) -> dict[str, str]:
    """The last value of every curve of a cell, wherever its files lie."""
    places = [path for room in ("cells", "private") if (path := folder / room / key / "history.csv").exists()]
    found: dict[str, str] = {}
    for path in places:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found[f"{row['split']} {row['predictor']} {row['metric']}"] = row["value"]
    return found


def fingerprint() -> str:
    """Torch, and the processor: libraries choose their kernels by its maker, family and instructions."""
    import torch

    return f"{_processor()} {torch.backends.cpu.get_cpu_capability()} torch{torch.__version__}"


def _processor() -> str:
    """'AuthenticAMD-25-97-1a2b3c4d', last a digest of its vector instructions; else the machine's type."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return platform.machine()
    known = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    vectors = sorted(flag for flag in known.get("flags", "").split() if flag.startswith(("avx", "amx", "fma", "sse")))
    parts = [known.get(name, "") for name in ("vendor_id", "cpu family", "model")]
    return "-".join([*parts, hashlib.sha256(" ".join(vectors).encode()).hexdigest()[:8]])


def differences(expected: Cells, found: Cells) -> list[str]:
    """One line for each cell that is not what was expected."""
    lines = []
    for label in sorted({*expected, *found}):
        if label not in expected or label not in found:
            lines.append(f"{'new' if label in found else 'gone'}: {label}")
        elif expected[label] != found[label]:
            names = [n for n in {**expected[label], **found[label]} if expected[label].get(n) != found[label].get(n)]
            lines.append(f"differs: {label}: {', '.join(names)}")
    return lines


def checkout(revision: str, folder: Path) -> Path:
    """The tree of a revision, beside this one."""
    archive = subprocess.run(["git", "archive", revision], cwd=HERE.parent.parent, capture_output=True, check=False)
    if archive.returncode:
        raise SystemExit(archive.stderr.decode())
    tree = folder / "tree"
    tree.mkdir()
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    return tree


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "check"))
    parser.add_argument("--against", metavar="REV", help="a revision to train and to compare with, instead of the file")
    parser.add_argument("--protocols", nargs="+", default=PROTOCOLS, choices=PROTOCOLS)
    given = parser.parse_args()
    root = HERE.parent.parent
    found = {name: trained(name, root) for name in given.protocols}
    if given.what == "make":
        content = {"fingerprint": fingerprint(), "cells": found}
        GOLDEN.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{sum(map(len, found.values()))} cells in {GOLDEN}")
        return
    if given.against:
        with tempfile.TemporaryDirectory() as folder:
            tree = checkout(given.against, Path(folder))
            expected = {name: trained(name, tree) for name in given.protocols}
    else:
        golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
        if golden["fingerprint"] != fingerprint():
            raise SystemExit(f"made on {golden['fingerprint']}, this is {fingerprint()}: use --against REV")
        expected = {name: golden["cells"][name] for name in given.protocols}
    lines = [line for name in given.protocols for line in differences(expected[name], found[name])]
    print("\n".join(lines) or f"{sum(map(len, found.values()))} cells, not one bit of difference")
    raise SystemExit(1 if lines else 0)


if __name__ == "__main__":
    main()
