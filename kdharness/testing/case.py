"""A case: one method with its parameters, the networks it is tried on, and the plan that this makes."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from kdharness.api import Method, MethodSpec, hookimpl
from kdharness.planning import make_plan
from kdharness.planning.cell import STUDENT as STUDENT_ROLE, Cell
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import Benchmark, parse
from kdharness.protocol.variant import completed, made, shown, values_of
from kdharness.registry.loading import Plugin, installed_plugins
from kdharness.registry.manager import HOOKS, Registry
from kdharness.registry.source import Source
from kdharness.testing import tiny

PAIR = f"{tiny.TEACHER}:{tiny.STUDENT}"
# One of every kind, so that a method finds the one that it needs.
SCENARIOS = {
    "few": {"kind": "few", "images": 32},
    "small": {"kind": "small", "images": 32},
    "noise": {"kind": "noise", "ratio": 0.4},
    "split": {"kind": "split", "public": 0.5},
}


class CheckFailed(AssertionError):
    """A method broke what the check promises."""


class CheckSkipped(Exception):
    """A check that does not apply; the message is the reason."""


@dataclass(frozen=True, eq=False)
class MethodCase:
    """A method under check.

    spec: the method; it need not be installed.
    parameters: those that differ from its defaults; "without" lists loss terms to leave out.
    pair: "teacher:student" or "teacher1+teacher2:student", names of models.
    epochs: of the recipe; as many as it takes to see all of the method's phases.
    plugins: modules with hooks, for models, views and optimisers that are not installed. Hooks that stand beside the
        method's class need not be named.
    """

    spec: MethodSpec
    parameters: Mapping[str, Any] = field(default_factory=dict)
    pair: str = PAIR
    epochs: int = 2
    plugins: tuple[ModuleType, ...] = ()

    @classmethod
    def of(cls, method: MethodSpec | MethodCase) -> MethodCase:
        return method if isinstance(method, MethodCase) else cls(method)

    @cached_property
    def label(self) -> str:
        """The method, what differs from its defaults, and several teachers: "byot[preset=journal]", "kd of a+b"."""
        changed = ",".join(f"{key}={shown(value)}" for key, value in sorted(self.parameters.items()))
        teachers = self.pair.partition(":")[0]
        several = f" of {teachers}" if "+" in teachers else ""
        return (f"{self.spec.name}[{changed}]" if changed else self.spec.name) + several

    def made(self) -> Method:
        """A method of these parameters. UserError for what it does not have."""
        given = {key: value for key, value in self.parameters.items() if key != "without"}
        return made(self.spec, values_of(completed(self.spec, given, "the case")))

    @cached_property
    def registry(self) -> Registry:
        """The installed plugins, the tiny world, the given modules and, if none of them has it, the method."""
        for modules in (self.plugins, (*self.plugins, *_beside(self.spec.factory))):
            known = _registry(modules)
            found = known.methods.get(self.spec.name)
            if found is not None and found.spec.factory is self.spec.factory:
                return known
        carrier = Plugin("under check", _Carrier(self.spec), _source(self.spec.factory))
        return Registry([*_plugins(modules), carrier])

    @cached_property
    def benchmark(self) -> Benchmark:
        content = {
            "name": "tiny",
            "datasets": [tiny.DATASET],
            "pairs": [self.pair],
            "seeds": [0],
            "scenario": SCENARIOS,
            "recipe": {"epochs": self.epochs, "batch_size": 20, "lr": 0.05, "schedule": "cosine"},
            "teacher": {"epochs": 1},
            "methods": {self.spec.name: dict(self.parameters)},
        }
        return parse(content, "the tiny benchmark")

    @cached_property
    def plan(self) -> Plan:
        """The method beside the references of benchmarks."""
        methods = (self.spec.name, *(name for name in self.benchmark.references if name in self.registry.methods))
        return make_plan(self.benchmark, Selection(methods=tuple(dict.fromkeys(methods))), self.registry)

    @cached_property
    def cell(self) -> Cell:
        """The method's first cell. CheckSkipped with the plan's reason where it is not to run."""
        for planned in self.plan.cells:
            if planned.cell.method == self.spec.name and planned.cell.role == STUDENT_ROLE:
                if planned.skip:
                    raise CheckSkipped(f"{self.label} is not for {self.pair}: {planned.skip}")
                return planned.cell
        raise CheckFailed(f"no cell of {self.label} was planned: {'; '.join(self.plan.warnings) or 'no warning'}")


def skip_secret(case: MethodCase) -> None:
    """CheckSkipped for a method whose noise is secret: no two trainings are alike."""
    if case.cell.secret:
        raise CheckSkipped(f"the noise of {case.label} is secret: give the case the parameters that make it known")


class _Carrier:
    """A plugin that provides one method."""

    def __init__(self, spec: MethodSpec) -> None:
        self.spec = spec

    @hookimpl
    def kdharness_methods(self) -> Iterable[MethodSpec]:
        yield self.spec


@cache
def _plugins(modules: tuple[ModuleType, ...]) -> tuple[Any, ...]:
    given = (Plugin(module.__name__, module, _source(module)) for module in modules)
    return (*installed_plugins(), Plugin("tiny world", tiny, _source(tiny)), *given)


@cache
def _registry(modules: tuple[ModuleType, ...]) -> Registry:
    return Registry(_plugins(modules))


def _beside(method: type) -> tuple[ModuleType, ...]:
    """The module of a method's class, if it has hooks."""
    module = sys.modules[method.__module__]
    return (module,) if any(callable(getattr(module, hook, None)) for hook in HOOKS) else ()


def _source(thing: type | ModuleType) -> Source:
    """The file of a class or module, as that of a single-file plugin: its digest enters keys."""
    path = Path(inspect.getsourcefile(thing) or "")
    content = path.read_bytes() if path.is_file() else b""
    module = thing.__name__ if isinstance(thing, ModuleType) else thing.__module__
    return Source("", "", str(path), module, kind="file", digest=hashlib.sha256(content).hexdigest())
