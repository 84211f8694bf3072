"""How many operations one steady step of each method dispatches, and how often it waits for a device.

    python tests/rehearsal/pinned_operations.py --update   # writes what this torch gives into operations.json

The numbers are those of a torch minor version, of its decompositions and optimisers, and of no machine: the step runs
on the CPU, on conv16:conv8. A version that the file lacks is measured against the nearest one.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
from builtin_cases import builtin_cases

from kdharness.testing import MethodCase
from kdharness.testing.bench import Bench
from kdharness.testing.operations import operations
from kdharness.testing.rehearsal import on_the_cpu

FILE = Path(__file__).with_name("operations.json")
# What another torch may add: it decomposes an operator into others, or an optimiser takes another way.
ROOM = 1.1

Counts = dict[str, int]


def version() -> str:
    """ "2.14" of 2.14.1+cpu."""
    return ".".join(torch.__version__.split(".")[:2])


def counts_of(case: MethodCase) -> dict[str, Counts]:
    """By the case's label, and by its phase where it has several: the second step, when optimisers hold their state."""
    found = {}
    with on_the_cpu() as device:
        bench = Bench(case, device)
        for phase in bench.phases():
            bench.step()
            with operations() as counted:
                bench.step()
            found[phase.name] = {"operations": counted.count, "read_backs": len(counted.read_backs)}
    return {case.label if len(found) == 1 else f"{case.label} {name}": counts for name, counts in found.items()}


def pinned() -> dict[str, dict[str, Counts]]:
    """By torch's minor version."""
    content: dict[str, dict[str, Counts]] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def nearest(wanted: str, known: list[str]) -> str:
    """The version itself, or the one before or after it that is fewest minor versions away, the older of two."""

    def number(text: str) -> int:
        major, minor = map(int, text.split("."))
        return 1000 * major + minor

    return min(sorted(known, key=number), key=lambda one: abs(number(one) - number(wanted)))


def limits(wanted: str, content: dict[str, dict[str, Counts]]) -> dict[str, tuple[range, int]]:
    """By label, the numbers of operations that may be, and the read-backs that must be."""
    found = {}
    for label, counts in content[nearest(wanted, list(content))].items():
        most = counts["operations"]
        exact = range(most, most + 1)
        found[label] = (exact if wanted in content else range(math.floor(ROOM * most) + 1), counts["read_backs"])
    return found


def update() -> None:
    counts = {label: one for case in builtin_cases() for label, one in counts_of(case).items()}
    content = {**(pinned() if FILE.exists() else {}), version(): counts}
    FILE.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(counts)} steps of torch {version()} in {FILE}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", required=True)
    parser.parse_args()
    update()
