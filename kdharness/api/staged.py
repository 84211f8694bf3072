"""Networks with named stages: feature taps by forward hooks, so that no model's forward is rewritten."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from kdharness.api.declarations import ModelSpec, Tap, Wanted
from kdharness.api.named import Named
from kdharness.api.prepared import Prepare
from kdharness.api.preprocessing import Preprocessing, Shape
from kdharness.api.sections import sections_of
from kdharness.api.seen_views import SeenViews
from kdharness.api.tail import DeepEnd, Lead, Statistics
from kdharness.api.taps import Taps, behind
from kdharness.api.tokens import outputs_by_name, to_maps


@dataclass(frozen=True)
class Placement:
    """How a network's numbers are held and multiplied.

    precision: "fp32", "tf32", or "bf16", which is autocast.
    channels_last: the layout of images and convolutions.
    """

    precision: str = "fp32"
    channels_last: bool = False

    def autocast(self, device_type: str) -> AbstractContextManager[object]:
        """The precision, for a forward pass on a device of this type."""
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(device_type, torch.bfloat16, cache_enabled=False)


class Outputs:
    """What a network gave for one batch, always float32.

    logits: [N, classes].
    named: the network's other outputs, by name; {} where it returns logits alone.
    stem: [N, C, H, W]; AttributeError unless declared, as of all taps.
    stages: [N, C, H, W] each, shallow to deep; of a network of tokens, their maps.
    pre_activations: [N, C, H, W] each, before a stage's last activation.
    embedding: [N, D].
    views: Outputs of each declared view, in their order. Of one that this network is not shown: AttributeError.
    model: the StagedModel itself, for methods that run parts of it again.
    """

    def __init__(
        self,
        model: StagedModel,
        logits: Tensor,
        taps: Mapping[str, Any],
        named: Mapping[str, Tensor] | None = None,
        modules: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.model = model
        self.logits: Tensor = logits.float()
        others = {name: value.float() for name, value in (named or {}).items()}
        self.named: dict[str, Tensor] = Named(others, "beside its logits, the network has no output")
        self._views: tuple[Callable[[], Outputs] | str | None, ...] = (None,)
        self._taps = taps
        self._modules = modules or {}

    @property
    def views(self) -> Sequence[Outputs]:
        # Made anew each time: holding itself, it would keep a step's activations until Python looks for cycles.
        return SeenViews((lambda: self) if entry is None else entry for entry in self._views)

    def beside(self, entries: Iterable[Callable[[], Outputs] | str | None]) -> Outputs:
        """Sets what `views` gives, and returns self. entries: as of SeenViews; None stands for these outputs."""
        self._views = tuple(entries)
        return self

    def only(self, wanted: Wanted) -> Outputs:
        """The same tensors, of which one cell reads what it declared and nothing that others beside it did."""
        own = copy.copy(self)
        own._taps = {name: value for name, value in self._taps.items() if name in wanted.taps}
        own._modules = {path: value for path, value in self._modules.items() if path in wanted.modules}
        return own

    def _tap(self, name: str) -> Any:
        if name not in self._taps:
            where = "taps, or teacher_taps, in the method's reads = Reads(taps=...)"
            raise AttributeError(f"'{name}' was not declared: add it to {where}")
        return self._taps[name]

    @property
    def stem(self) -> Tensor:
        stem: Tensor = self._tap("stem").float()
        return stem

    @property
    def stages(self) -> list[Tensor]:
        return [self.maps(k) for k in range(len(self._tap("stages")))]

    @property
    def pre_activations(self) -> list[Tensor]:
        return [t.float() for t in self._tap("pre_activations")]

    @property
    def embedding(self) -> Tensor:
        embedding: Tensor = self._tap("embedding").float()
        return embedding

    def maps(self, k: int) -> Tensor:
        """Stage number `k` as [N, C, H, W]. Of tokens [N, L, D] the prefix is left out, and C is D."""
        stage = self._stage("stages", k)
        # The model is asked of tokens alone, for tests hand in maps without a model.
        return self.model.as_maps(stage).float() if stage.ndim == 3 else stage.float()

    def tokens(self, k: int) -> Tensor:
        """Stage number `k` of a network of tokens: [N, L, D], the prefix first. Who declares stages has them too."""
        stages: Sequence[Tensor] = self._taps.get("stages", ())
        is_stage = "tokens" not in self._taps and len(stages) > 0 and stages[0].ndim == 3
        return self._stage("stages" if is_stage else "tokens", k).float()

    def _stage(self, tap: str, k: int) -> Tensor:
        stages: Sequence[Tensor] = self._tap(tap)
        if not -len(stages) <= k < len(stages):
            raise IndexError(f"there is no stage {k}: the network has {len(stages)}, 0 to {len(stages) - 1}")
        return stages[k]

    def module(self, path: str) -> Tensor:
        """What the network's module at `path` returned; of several values the first."""
        if path not in self._modules:
            where = "modules or teacher_modules of the method's reads = Reads(...)"
            raise AttributeError(f"module '{path}' was not declared: add it to {where}")
        return self._modules[path].float()

    def tensors(self) -> list[Tensor]:
        """Every tensor that is held, for checks that nobody changed it."""
        return list(self.named_tensors().values())

    def named_tensors(self) -> dict[str, Tensor]:
        """The same by what a method calls them: "logits", "stages[1]"."""
        held = {"logits": self.logits, **{f"named['{name}']": value for name, value in self.named.items()}}
        held |= {f"module('{path}')": value for path, value in self._modules.items()}
        for name, value in self._taps.items():
            held |= {name: value} if isinstance(value, Tensor) else {f"{name}[{k}]": t for k, t in enumerate(value)}
        return held


class _StageReached(Exception):
    """Ends a forward pass at the stage whose features are all that is wanted."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features


class StagedModel(nn.Module):
    """An ordinary network with its spec: calls give Outputs; `tail` and `head` re-run its deep end.

    Images are pixels [N, C, H, W] in [0, 1], as `batch.images` are; its own preprocessing makes the network's input of
    them. In-place activations are switched off, so that a tapped tensor keeps its value. Of repeated calls of a stage
    the last counts. Whoever runs it, whole or in part, runs it in its own precision and layout; what comes out is
    float32.

    network: the ordinary network.
    spec: what it declares.
    image_shape: (C, H, W) of the dataset's images.
    input_shape: (C, H, W) of what the network itself is given.
    prepare: makes the network's input of pixels.
    placement: its precision and layout.
    num_stages: how many stages it has.
    stages: the modules of the spec's `stages`.
    norms: the modules of the spec's `norms`.
    classifier: the module of the spec's `classifier`.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: ModelSpec,
        image_shape: Shape,
        preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - a frozen record
    ) -> None:
        super().__init__()
        self.network = network
        self.spec = spec
        self.image_shape = image_shape
        first = next(network.parameters(), torch.empty(0))
        self.prepare: Prepare = Prepare(preprocessing, image_shape, first.device)
        self.placement: Placement = Placement()
        self._leads: dict[int, Lead] = {}
        for module in network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]

    def place(self, placement: Placement) -> StagedModel:
        """Sets precision and layout, and returns the model."""
        self.placement = placement
        if placement.channels_last:
            self.to(memory_format=torch.channels_last)
        return self

    def _run_on(self, images: Tensor) -> dict[str, Tensor]:
        """The network's outputs by name, of pixels in [0, 1]."""
        return self._run_network(self.prepare(images, self.placement.channels_last))

    def _run_network(self, inputs: Tensor) -> dict[str, Tensor]:
        """The same of what the network itself takes."""
        with self.placement.autocast(inputs.device.type):
            returned = self.network(inputs)
        return outputs_by_name(returned, self.spec)

    def _logits_of(self, inputs: Tensor) -> Tensor:
        return self._run_network(inputs)[self.spec.logits]

    @property
    def input_shape(self) -> Shape:
        return self.prepare.input_shape

    @property
    def num_stages(self) -> int:
        return len(self.spec.stages)

    def part(self, path: str) -> nn.Module:
        """The submodule at a path of the spec. ValueError names the model and the path."""
        module: nn.Module | None = self.network
        # By hand, for this runs in every step and get_submodule takes ten times as long.
        for name in path.split(".") if path else ():
            module = module._modules.get(name) if module is not None else None
        if module is None:
            raise ValueError(f"model '{self.spec.name}' declares '{path}', but has no such submodule")
        return module

    @property
    def stages(self) -> list[nn.Module]:
        return [self.part(path) for path in self.spec.stages]

    @property
    def norms(self) -> list[nn.Module]:
        return [self.part(path) for path in self.spec.norms]

    @property
    def classifier(self) -> nn.Module:
        return self.part(self.spec.classifier)

    def lacks(self, taps: Sequence[str]) -> str | None:
        """The first of `taps` that this model's spec does not declare."""
        spec = self.spec
        has: dict[str, object] = {
            "stem": spec.stem,
            "stages": spec.stages and (spec.tokens is None or spec.tokens.grid),
            "pre_activations": spec.pre_activations,
            "embedding": spec.classifier,
            "tokens": spec.stages and spec.tokens,
        }
        return next((tap for tap in taps if not has[tap]), None)

    def cannot_give(self, wanted: Wanted, side: str = "") -> str | None:
        """Why the network has not what is wanted of it, or None. side: what it is, "student" or "teacher"."""
        name, lacking, of = self.spec.name, self.lacks(wanted.taps), f" of the {side}" if side else ""
        if lacking == "stages" and self.spec.stages:
            return f"reads stages{of} as maps, and the tokens of model '{name}' have no grid"
        if lacking:
            return f"reads {lacking}{of}, which model '{name}' does not declare"
        known = [path for path, _ in self.network.named_modules() if path]
        for path in wanted.modules:
            if path not in known:
                close = get_close_matches(path, known, n=1, cutoff=0.0)
                return f"reads module '{path}'{of}, which model '{name}' has not; did you mean '{close[0]}'?"
        return None

    def as_maps(self, stage: Tensor) -> Tensor:
        """A stage's output as maps [N, C, H, W]. ValueError for tokens without a grid."""
        return stage if self.spec.tokens is None else to_maps(stage, self.spec, self.input_shape)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes]. images: [N, C, H, W], pixels in [0, 1]."""
        return self._run_on(images)[self.spec.logits].float()

    def run(self, images: Tensor, taps: Sequence[Tap] = (), modules: Sequence[str] = ()) -> Outputs:
        """One forward pass. images: [N, C, H, W] in [0, 1]; taps and modules: what to keep of it, as in Reads."""
        tapping = Taps(self.spec, Wanted(tuple(taps), tuple(modules)), self.part)
        with tapping.hooked() as found:
            outputs = self._run_on(images)
        logits = outputs.pop(self.spec.logits)
        return Outputs(self, logits, tapping.named(found), outputs, tapping.modules(found))

    def sections(self) -> list[list[nn.Parameter]]:
        """The network's parameters, by the stage up to whose output a forward pass first uses them.

        The last of them are used beyond the deepest stage. Found by one pass over a blank image in eval mode.
        """
        return sections_of(self.network, self.stages, self.input_shape)

    def trunk(self, stage: int | str, images: Tensor) -> Tensor:
        """Stage number `stage` as maps [N, C, H, W], computing nothing beyond it (an early exit's trunk); or what the
        module at a path returns, as it is.
        """
        place = self.spec.stages[stage] if isinstance(stage, int) else stage

        def leave(module: nn.Module, args: Any, output: Tensor) -> None:
            raise _StageReached(output)

        handle = self.part(place).register_forward_hook(leave)
        try:
            self._run_on(images)
        except _StageReached as reached:
            features = reached.features
            return (self.as_maps(features) if isinstance(stage, int) else features).float()
        finally:
            handle.remove()
        raise ValueError(f"model '{self.spec.name}' does not run its module '{place}'")

    def head(self, features: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Logits [N, classes] from the deepest stage's output."""
        return self.tail(self.num_stages - 1, features, statistics)

    def tail(self, stage: int, features: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Logits [N, classes] from the output `features` of stage number `stage` (0 is the shallowest): maps, or tokens
        with their prefix.

        statistics: what normalisations behind the stage go by. None: as the network's mode says. "frozen": by their
        running statistics. "own": by those of `features`. Neither of the two updates running statistics.

        The network's own forward runs, so that nothing is declared twice. ValueError where a connection skips the
        stage.
        """
        return self.run_tail(stage, features, statistics).logits

    def run_tail(
        self, stage: int, features: Tensor, statistics: Statistics | None = None, taps: Sequence[Tap] = ()
    ) -> Outputs:
        """What `tail` computes, as Outputs: the logits, and taps on the way, but for the stem.

        Of stages and pre-activations those behind stage number `stage` are there: `stages[-1]` is the deepest.
        """
        if "stem" in taps:
            raise ValueError(f"the stem of model '{self.spec.name}' is before all stages, and no part of a deep end")
        blank = torch.zeros((1, *self.input_shape), device=features.device, dtype=features.dtype)
        end = DeepEnd(self.network, self._logits_of, self.spec.name)
        stages, tapping = self.stages[: stage + 1], Taps(behind(self.spec, stage), Wanted(tuple(taps)), self.part)
        if stage not in self._leads:
            self._leads[stage] = end.lead(stages, blank)
        with tapping.hooked() as found:
            logits = end.logits(stages, features, self._leads[stage], blank, statistics)
        return Outputs(self, logits, tapping.named(found))


@contextmanager
def full_precision(module: nn.Module) -> Iterator[None]:
    """The networks within `module` without autocast for the duration: for what reduced precision does not bear.

    TF32 is a switch of the whole process, and stays as it is.
    """
    networks = [part for part in module.modules() if isinstance(part, StagedModel)]
    placements = [network.placement for network in networks]
    try:
        for network in networks:
            network.placement = replace(network.placement, precision="fp32")
        yield
    finally:
        for network, placement in zip(networks, placements, strict=True):
            network.placement = placement
