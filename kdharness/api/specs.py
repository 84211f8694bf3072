"""Spec records of methods, datasets, metrics, optimisers, executors and loggers: what plugin hooks return.

`ModelSpec` is in `declarations`.

Importing this module loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdharness.api.parameters import Parameter, check_name, class_parameters

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.optim import Optimizer

    from kdharness.api.data import Augmentation, DataRequest, DatasetInfo, ImageDataset
    from kdharness.api.evaluation import Evaluation, Inspection, Observer
    from kdharness.api.executors import Executor, WorkerSettings
    from kdharness.api.method import Method
    from kdharness.api.staged import StagedModel


@dataclass(frozen=True)
class MethodSpec:
    """A distillation method. `MethodSpec.of` makes one from a class.

    name: the method's.
    factory: its class.
    summary: the first line of the class' docstring.
    paper: authors, title, venue, year.
    parameters: typed, with their defaults.
    revision: raised by hand when its numbers change; None: the package's version stands for it.
    """

    name: str
    factory: type[Method[Any]]
    summary: str
    paper: str
    parameters: tuple[Parameter, ...]
    revision: int | None = None

    @classmethod
    def of(cls, method: type[Method[Any]], revision: int | None = None) -> MethodSpec:
        """The spec of a Method subclass, read from its class attributes and docstring."""
        from kdharness.api.method import Method as Base

        name = check_name(getattr(method, "name", None), "method")
        doc = (method.__doc__ or "").strip().splitlines()
        return cls(name, method, doc[0] if doc else "", method.paper, class_parameters(method, Base), revision)


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset. `describe` and `load` raise DatasetMissing, with one line that says what to do.

    name: [a-z][a-z0-9_]*.
    describe: cheap, reads no images; the identity is an archive's checksum or the digest of a packed cache.
    load: reads the images and checks them.
    summary: one line for listings.
    parameters: typed, with their defaults.
    local_parameters: names of those that say where the data lies, not what it is; they enter no cell's key.
    paper: authors, title, venue, year.
    revision: raised by hand when what is loaded changes; None: the package's version stands for it.
    """

    name: str
    describe: Callable[[DataRequest], DatasetInfo]
    load: Callable[[DataRequest], ImageDataset]
    summary: str = ""
    parameters: tuple[Parameter, ...] = ()
    local_parameters: tuple[str, ...] = ()
    paper: str = ""
    revision: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "dataset")


@dataclass(frozen=True)
class ViewInfo:
    """What `apply` of a view is told beside images and draws.

    augmentation: the dataset's standard one.
    size: (height, width) of the images that it is to give.
    """

    augmentation: Augmentation
    size: tuple[int, int]


@dataclass(frozen=True)
class FiniteView:
    """That a view has finitely many pictures of an image, so that what a teacher makes of each can be kept.

    Pictures are numbered from 0; two draws of one number give one picture, bit for bit.

    count: how many there are of an image.
    number: of draws, as `ViewSpec.draws` gives them, on any device: int64 [n]. None: there is one picture, whatever is
        drawn.
    draws: of numbers, int64 [n]: draws that give these pictures, on the numbers' device. None: as for `number`.
    """

    count: Callable[[ViewInfo], int]
    number: Callable[[Mapping[str, Tensor], ViewInfo], Tensor] | None = None
    draws: Callable[[Tensor, ViewInfo], Mapping[str, Tensor]] | None = None


@dataclass(frozen=True)
class ViewSpec:
    """A view: a random picture of each image of a batch.

    name: [a-z][a-z0-9_]*.
    draws: called with a number of samples n and a generator, which is on the CPU; gives all that is random as CPU
        tensors by name, [n, ...] each, independent of the images and of their size: shares and choices.
    apply: called with images, uint8 [n, C, H, W], their draws, on the images' device, and a ViewInfo; gives uint8
        [n, C, height, width] and draws nothing. It may change the images in place, and not the draws.
    summary: one line for listings.
    paper: authors, title, venue, year.
    revision: raised by hand when its pictures change; None: the package's version stands for it.
    finite: how its pictures are counted, where there are finitely many of an image.
    """

    name: str
    draws: Callable[[int, torch.Generator], Mapping[str, Tensor]]
    apply: Callable[[Tensor, Mapping[str, Tensor], ViewInfo], Tensor]
    summary: str = ""
    paper: str = ""
    revision: int | None = None
    finite: FiniteView | None = None

    def __post_init__(self) -> None:
        if check_name(self.name, "view") == "recipe":
            raise ValueError("no view can be called 'recipe': it stands for the one that the recipe names")


@dataclass(frozen=True)
class MetricSpec:
    """A metric: exactly one of the functions compute, inspect and observe, by what it looks at.

    Its numbers are called as the metric is, or begin with its name and an underscore. Claims find their unit and
    direction by that; an observer's numbers that are called otherwise are an error.

    name: [a-z][a-z0-9_]*.
    compute: of outputs. Called once per named predictor of a finished cell; returns numbers by name.
    inspect: of networks. Called once per finished cell; returns numbers by predictor and name.
    observe: of training. Called with the student when training starts; returns an Observer. Its numbers of each epoch
        become curves, and their means over the epochs are the cell's.
    summary: one line for listings.
    higher_is_better: of the numbers.
    unit: of the numbers.
    splits: which splits `compute` or `inspect` reads; left out where a scenario has no such split.
    needs_teacher: left out for cells without a teacher; `compute` finds the teacher's logits on every split it reads.
    paper: authors, title, venue, year.
    hidden: names of what a scenario hides from training ("corrupted"); left out where there is no such thing.
    on_request: too slow for every run: "all" does not include it, a benchmark that wants it names it.
    group: what its numbers tell of, where tables show their columns by groups: "quality", "cost", "privacy", or a word
        of its own.
    """

    name: str
    compute: Callable[[Evaluation], Mapping[str, float]] | None = None
    summary: str = ""
    higher_is_better: bool = True
    unit: str = ""
    splits: tuple[str, ...] = ("test",)
    needs_teacher: bool = False
    paper: str = ""
    hidden: tuple[str, ...] = ()
    inspect: Callable[[Inspection], Mapping[str, Mapping[str, float]]] | None = None
    observe: Callable[[StagedModel], Observer] | None = None
    on_request: bool = False
    group: str = "quality"

    def __post_init__(self) -> None:
        check_name(self.name, "metric")
        if sum(given is not None for given in (self.compute, self.inspect, self.observe)) != 1:
            raise ValueError(f"metric '{self.name}' must have one of compute, inspect and observe")

    @property
    def function(self) -> Callable[..., Any] | None:
        """The one that it has."""
        return self.compute or self.inspect or self.observe

    def owns(self, number: str) -> bool:
        """Whether a number of this name can be this metric's."""
        return number == self.name or number.startswith(f"{self.name}_")


# What an optimiser may read of the recipe beside the learning rate.
OPTIMIZER_READS = ("weight_decay", "momentum", "nesterov")


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimiser.

    name: [a-z][a-z0-9_]*, for `recipe.optimizer`, and for `Player(optimizer={"optimizer": ...})`.
    factory: called with the parameters (a list, or torch's groups), and by keyword with `lr`, with the recipe's fields
        that it `reads` and with its own `parameters`; returns a torch Optimizer. The harness sets "lr" in its groups.
    summary: one line for listings.
    reads: of "weight_decay", "momentum" and "nesterov".
    parameters: its own, typed, with their defaults: `[optimizers.NAME]` in a benchmark, `--set NAME.parameter=value`.
    fused: whether the factory takes `fused`: True where the device has one kernel for it.
    paper: authors, title, venue, year.
    revision: raised by hand when its numbers change; None: the package's version stands for it.
    capturable: whether its step can be recorded and replayed: it takes "lr" in its groups as a scalar tensor on the
        device too, looks at no number of the device, and counts its steps there. Torch's `capturable` is set where
        groups have it. `kdharness.testing.optimizer_checks` tries it.
    """

    name: str
    factory: Callable[..., Optimizer]
    summary: str = ""
    reads: tuple[str, ...] = ("weight_decay",)
    parameters: tuple[Parameter, ...] = ()
    fused: bool = False
    paper: str = ""
    revision: int | None = None
    capturable: bool = False

    def __post_init__(self) -> None:
        check_name(self.name, "optimizer")
        for field in self.reads:
            if field not in OPTIMIZER_READS:
                raise ValueError(
                    f"optimizer '{self.name}' reads '{field}', which is none of {', '.join(OPTIMIZER_READS)}"
                )
        for parameter in self.parameters:
            if parameter.name in ("lr", "fused", *OPTIMIZER_READS):
                raise ValueError(f"optimizer '{self.name}': '{parameter.name}' is the recipe's, and no parameter")


@dataclass(frozen=True)
class ExecutorSpec:
    """Where groups run.

    name: [a-z][a-z0-9_]*, for --executor.
    factory: called with WorkerSettings; gives an Executor.
    summary: one line for listings.
    """

    name: str
    factory: Callable[[WorkerSettings], Executor]
    summary: str = ""

    def __post_init__(self) -> None:
        check_name(self.name, "executor")


@dataclass(frozen=True)
class LoggerSpec:
    """A logger: what hears of a run's events where the command names it.

    name: [a-z][a-z0-9_]*, for --log.
    factory: called without arguments in the run's process; gives an object whose methods are event hooks, each marked
        with `hookimpl`.
    summary: one line for listings.
    needs: names of the modules that must be there.
    install: how to get them, as a command.
    """

    name: str
    factory: Callable[[], object]
    summary: str = ""
    needs: tuple[str, ...] = ()
    install: str = ""

    def __post_init__(self) -> None:
        check_name(self.name, "logger")
