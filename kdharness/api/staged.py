"""Networks with named stages: feature taps by forward hooks, so that no model's forward is rewritten."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kdharness.api.declarations import ModelSpec
from kdharness.api.functional import eval_mode
from kdharness.api.prepared import Prepare
from kdharness.api.preprocessing import Preprocessing, Shape
from kdharness.api.seen_views import SeenViews


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
    stages: [N, C, H, W] each, shallow to deep; AttributeError unless declared, as of the next two.
    pre_activations: likewise.
    embedding: [N, D].
    views: Outputs of each declared view, in their order. Of one that this network is not shown: AttributeError.
    model: the StagedModel itself, for methods that run parts of it again.
    """

    def __init__(self, model: StagedModel, logits: Tensor, taps: dict[str, Any]) -> None:
        self.model = model
        self.logits = logits.float()
        self._views: tuple[Callable[[], Outputs] | str | None, ...] = (None,)
        self._taps = taps

    @property
    def views(self) -> Sequence[Outputs]:
        # Made anew each time: holding itself, it would keep a step's activations until Python looks for cycles.
        return SeenViews((lambda: self) if entry is None else entry for entry in self._views)

    def beside(self, entries: Iterable[Callable[[], Outputs] | str | None]) -> Outputs:
        """Sets what `views` gives, and returns self. entries: as of SeenViews; None stands for these outputs."""
        self._views = tuple(entries)
        return self

    def _tap(self, name: str) -> Any:
        if name not in self._taps:
            raise AttributeError(f"'{name}' was not declared: add it to taps in the method's reads = Reads(taps=...)")
        return self._taps[name]

    @property
    def stages(self) -> list[Tensor]:
        return [t.float() for t in self._tap("stages")]

    @property
    def pre_activations(self) -> list[Tensor]:
        return [t.float() for t in self._tap("pre_activations")]

    @property
    def embedding(self) -> Tensor:
        embedding: Tensor = self._tap("embedding").float()
        return embedding

    def tensors(self) -> list[Tensor]:
        """Every tensor that is held, for checks that nobody changed it."""
        held = [self.logits]
        for value in self._taps.values():
            held += [value] if isinstance(value, Tensor) else list(value)
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

    image_shape: (C, H, W) of the dataset's images. input_shape: of what the network itself is given.
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
        self.prepare = Prepare(preprocessing, image_shape, first.device)
        self.placement = Placement()
        self._leads: dict[int, tuple[list[nn.Module], list[torch.Size]]] = {}
        for module in network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]

    def place(self, placement: Placement) -> StagedModel:
        """Sets precision and layout, and returns the model."""
        self.placement = placement
        if placement.channels_last:
            self.to(memory_format=torch.channels_last)
        return self

    def _run_on(self, images: Tensor) -> Tensor:
        return self._run_network(self.prepare(images, self.placement.channels_last))

    def _run_network(self, inputs: Tensor) -> Tensor:
        with self.placement.autocast(inputs.device.type):
            logits: Tensor = self.network(inputs)
        return logits

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
        has = {
            "stages": self.spec.stages,
            "pre_activations": self.spec.pre_activations,
            "embedding": self.spec.classifier,
        }
        return next((tap for tap in taps if not has[tap]), None)

    def forward(self, images: Tensor) -> Tensor:
        return self._run_on(images).float()

    def run(self, images: Tensor, taps: Sequence[str] = ()) -> Outputs:
        """One forward pass. images: [N, C, H, W] in [0, 1]; taps: of "stages", "pre_activations", "embedding"."""
        with self._tapped(taps) as found:
            logits = self._run_on(images)
        collected: dict[str, Any] = {}
        if "stages" in taps:
            collected["stages"] = [found["stages", path] for path in self.spec.stages]
        if "pre_activations" in taps:
            collected["pre_activations"] = [found["pre_activations", path] for path in self.spec.pre_activations]
        if "embedding" in taps:
            collected["embedding"] = found["embedding", self.spec.classifier]
        return Outputs(self, logits, collected)

    @contextmanager
    def _tapped(self, taps: Sequence[str]) -> Iterator[dict[tuple[str, str], Tensor]]:
        found: dict[tuple[str, str], Tensor] = {}

        def keep_output(kind: str, path: str) -> Callable[..., None]:
            def hook(module: nn.Module, args: Any, output: Tensor) -> None:
                found[kind, path] = output

            return hook

        def keep_input(kind: str, path: str) -> Callable[..., None]:
            def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
                found[kind, path] = args[0]

            return hook

        handles: list[RemovableHandle] = []
        try:
            if "stages" in taps:
                handles += [self.part(p).register_forward_hook(keep_output("stages", p)) for p in self.spec.stages]
            if "pre_activations" in taps:
                paths = self.spec.pre_activations
                handles += [self.part(p).register_forward_pre_hook(keep_input("pre_activations", p)) for p in paths]
            if "embedding" in taps:
                path = self.spec.classifier
                handles.append(self.part(path).register_forward_pre_hook(keep_input("embedding", path)))
            yield found
        finally:
            for handle in handles:
                handle.remove()

    def sections(self) -> list[list[nn.Parameter]]:
        """The network's parameters, by the stage up to whose output a forward pass first uses them.

        The last of them are used beyond the deepest stage. Found by one pass over a blank image in eval mode.
        """
        found: list[list[nn.Parameter]] = [[] for _ in range(self.num_stages + 1)]
        seen: set[int] = set()
        reached = 0

        def enter(module: nn.Module, args: Any) -> None:
            for parameter in module.parameters(recurse=False):
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    found[reached].append(parameter)

        def leaving(stage: int) -> Callable[..., None]:
            def hook(module: nn.Module, args: Any, output: Tensor) -> None:
                nonlocal reached
                reached = max(reached, stage + 1)

            return hook

        handles = [m.register_forward_pre_hook(enter) for m in self.network.modules()]
        handles += [stage.register_forward_hook(leaving(k)) for k, stage in enumerate(self.stages)]
        try:
            first = next(self.network.parameters())
            with torch.no_grad(), eval_mode(self.network):
                self.network(first.new_zeros((1, *self.input_shape)))
        finally:
            for handle in handles:
                handle.remove()
        return found

    def trunk(self, stage: int, images: Tensor) -> Tensor:
        """The output [N, C, H, W] of stage number `stage`, computing nothing beyond it (an early exit's trunk)."""

        def leave(module: nn.Module, args: Any, output: Tensor) -> None:
            raise _StageReached(output)

        handle = self.stages[stage].register_forward_hook(leave)
        try:
            self._run_on(images)
        except _StageReached as reached:
            return reached.features.float()
        finally:
            handle.remove()
        raise ValueError(f"model '{self.spec.name}' does not run its stage '{self.spec.stages[stage]}'")

    def head(self, features: Tensor) -> Tensor:
        """Logits [N, classes] from the deepest stage's output [N, C, H, W]."""
        return self.tail(self.num_stages - 1, features)

    def tail(self, stage: int, features: Tensor) -> Tensor:
        """Logits from the output `features` [N, C, H, W] of stage number `stage` (0 is the shallowest).

        The network's own forward runs on one blank image with the stages up to `stage` replaced by what they would
        return, so that nothing is declared twice. Buffers of layers before the stage (running statistics) are left
        alone.
        """
        blank = torch.zeros((1, *self.input_shape), device=features.device, dtype=features.dtype)
        before, shapes = self._lead(stage, blank)
        outputs = [*(blank.new_zeros(shape) for shape in shapes[:-1]), features]
        training = [module.training for module in before]
        with ExitStack() as replaced:
            for module, output in zip(self.stages[: stage + 1], outputs, strict=True):
                replaced.enter_context(_returning(module, output))
            try:
                for module in before:
                    module.training = False
                logits = self._run_network(blank)
            finally:
                for module, flag in zip(before, training, strict=True):
                    module.training = flag
        return logits.float()

    def _lead(self, stage: int, blank: Tensor) -> tuple[list[nn.Module], list[torch.Size]]:
        """The leaf modules that run before the stage and in no stage, and the output shapes of all stages up to it.

        Found by one forward pass in eval mode.
        """
        if stage not in self._leads:
            stages = self.stages[: stage + 1]
            inside = {id(m) for s in stages for m in s.modules()}
            order: list[nn.Module] = []
            reached: dict[nn.Module, tuple[int, torch.Size]] = {}

            def enter(module: nn.Module, args: Any) -> None:
                if id(module) not in inside and not any(module.children()):
                    order.append(module)

            def leave(module: nn.Module, args: Any, output: Tensor) -> None:
                reached[module] = len(order), output.shape

            handles = [m.register_forward_pre_hook(enter) for m in self.network.modules()]
            handles += [s.register_forward_hook(leave) for s in stages]
            try:
                with torch.no_grad(), eval_mode(self.network):
                    self.network(blank)
            finally:
                for handle in handles:
                    handle.remove()
            self._leads[stage] = order[: reached[stages[-1]][0]], [reached[s][1] for s in stages]
        return self._leads[stage]


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


@contextmanager
def _returning(module: nn.Module, output: Tensor) -> Iterator[None]:
    """The module with a forward that returns `output`."""
    own = vars(module).get("forward")
    module.forward = lambda *args, **kwargs: output
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own
