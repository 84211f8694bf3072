"""The lock file of the built-ins, plugins/lock.json: which revision stands for which code.

    python tests/golden/lock.py check                       # is it that of this tree?
    python tests/golden/lock.py update                      # make it so, after a revision was raised or a plugin added
    python tests/golden/lock.py update --unchanged "why"    # code moved under its revision, and no number did

With `--unchanged` names may follow ("method kd"), when the reason is not that of all that moved.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import kdharness_plugins

from kdharness.registry.code import PackageCode
from kdharness.registry.kinds import KINDS
from kdharness.registry.lock import FILE, Lock, LockedFile, Step
from kdharness.registry.manager import Registry
from kdharness.registry.stamp import OWN, Stamps, lock_name

PATH = Path(next(iter(kdharness_plugins.__path__)), FILE)


def current() -> dict[str, Step]:
    """Every built-in that enters keys, as it is now."""
    registry, stamps = Registry.load(), Stamps()
    found = [r for kind in KINDS.values() if hasattr(kind.spec, "revision") for r in registry.of(kind.name).values()]
    return {lock_name(r): stamps.step(r) for r in found if r.source.distribution == OWN}


def files_of(code: PackageCode) -> dict[str, LockedFile]:
    """Every Python file of the package, as it is now."""
    paths = (path.relative_to(code.root).as_posix() for path in code.root.rglob("*.py"))
    return {path: code.file(path) for path in sorted(paths)}


def moved(lock: Lock, now: Mapping[str, Step]) -> list[str]:
    """The built-ins whose code is not the locked one though their revision is no higher."""
    last = {name: trail[-1] for name, trail in lock.trails.items()}
    return [n for n, s in sorted(now.items()) if n in last and s.revision <= last[n].revision and not lock.holds(n, s)]


def differences(lock: Lock, now: Mapping[str, Step]) -> list[str]:
    """A line for each built-in that the lock does not hold."""
    under_revision = set(moved(lock, now))
    return [
        f"{name}: its code is not the locked one; raise its revision, or say why no number changes"
        if name in under_revision
        else f"{name}: revision {step.revision} is not in the lock"
        for name, step in sorted(now.items())
        if not lock.holds(name, step)
    ]


def updated(
    lock: Lock, now: Mapping[str, Step], unchanged: str, names: Sequence[str] = ()
) -> dict[str, tuple[Step, ...]]:
    """The trails with what is new. SystemExit for code that moved under its revision without a word of why.

    Built-ins that are gone keep theirs: if one comes back, its revision goes on from there.
    """
    silent = [name for name in moved(lock, now) if not unchanged or (names and name not in names)]
    if silent:
        raise SystemExit("\n".join(line for line in differences(lock, now) if line.partition(":")[0] in silent))
    trails = dict(lock.trails)
    for name, step in now.items():
        if not lock.holds(name, step):
            why = unchanged if name in moved(lock, now) else ""
            trails[name] = (*trails.get(name, ()), Step(step.revision, step.digest, why))
    return trails


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("check", "update"))
    parser.add_argument("names", nargs="*", help="built-ins that --unchanged speaks of; all by default")
    parser.add_argument("--unchanged", default="", metavar="WHY", help="why no number changes")
    given = parser.parse_intermixed_args(arguments)
    lock, now = Lock.read(PATH), current()
    if given.verb == "check":
        lines = differences(lock, now)
        sys.exit("\n".join(lines) if lines else 0)
    trails = updated(lock, now, given.unchanged, given.names)
    code = PackageCode(kdharness_plugins.__name__, PATH.parent)
    PATH.write_text(Lock(files_of(code), trails).text, encoding="utf-8")


if __name__ == "__main__":
    main()
