"""Hooks that keep what modules return, or are given, during a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kdharness.api.declarations import ModelSpec, Wanted

Found = dict[tuple[str, str], Any]


def behind(spec: ModelSpec, stage: int) -> ModelSpec:
    """The spec without the stem and the stages up to number `stage`."""
    deep = slice(stage + 1, None)
    activations, norms = spec.pre_activations[deep], spec.norms[deep]
    return replace(spec, stem="", stages=spec.stages[deep], pre_activations=activations, norms=norms)


class Taps:
    """What is kept of a network of this spec, and where it comes from.

    part: the network's module at a path.
    """

    def __init__(self, spec: ModelSpec, wanted: Wanted, part: Callable[[str], nn.Module]) -> None:
        self.spec = spec
        self.wanted = wanted
        self.part = part

    @contextmanager
    def hooked(self) -> Iterator[Found]:
        """For the duration, what the modules return or are given is found by kind and path. The last call counts."""
        found: Found = {}
        spec, taps = self.spec, self.wanted.taps
        handles: list[RemovableHandle] = []
        try:
            if "stem" in taps:
                handles += self._keep_outputs("stem", [spec.stem], found)
            if "stages" in taps or "tokens" in taps:
                handles += self._keep_outputs("stages", spec.stages, found)
            if "pre_activations" in taps:
                handles += self._keep_inputs("pre_activations", spec.pre_activations, found)
            if "embedding" in taps:
                handles += self._keep_inputs("embedding", [spec.classifier], found)
            handles += self._keep_outputs("module", self.wanted.modules, found)
            yield found
        finally:
            for handle in handles:
                handle.remove()

    def _keep_outputs(self, kind: str, paths: Sequence[str], found: Found) -> list[RemovableHandle]:
        def keep(path: str) -> Callable[..., None]:
            def hook(module: nn.Module, args: Any, output: Any) -> None:
                found[kind, path] = output

            return hook

        return [self.part(path).register_forward_hook(keep(path)) for path in paths]

    def _keep_inputs(self, kind: str, paths: Sequence[str], found: Found) -> list[RemovableHandle]:
        def keep(path: str) -> Callable[..., None]:
            def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
                found[kind, path] = args[0]

            return hook

        return [self.part(path).register_forward_pre_hook(keep(path)) for path in paths]

    def named(self, found: Found) -> dict[str, Any]:
        """The named taps as Outputs hold them."""
        spec, taps = self.spec, self.wanted.taps
        kept: dict[str, Any] = {}
        if "stem" in taps:
            kept["stem"] = found["stem", spec.stem]
        for tap in ("stages", "tokens"):
            if tap in taps:
                kept[tap] = [found["stages", path] for path in spec.stages]
        if "pre_activations" in taps:
            kept["pre_activations"] = [found["pre_activations", path] for path in spec.pre_activations]
        if "embedding" in taps:
            kept["embedding"] = found["embedding", spec.classifier]
        return kept

    def modules(self, found: Found) -> dict[str, Tensor]:
        """What the modules at the paths asked for returned; of several values the first."""
        return {path: self._first(found, path) for path in self.wanted.modules}

    def _first(self, found: Found, path: str) -> Tensor:
        if ("module", path) not in found:
            raise ValueError(f"model '{self.spec.name}' does not run its module '{path}'")
        value = found["module", path]
        value = value[0] if isinstance(value, tuple | list) and value else value
        if not isinstance(value, Tensor):
            raise TypeError(f"module '{path}' of model '{self.spec.name}' returns a {type(value).__name__}, no tensor")
        return value
