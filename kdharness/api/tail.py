"""A network's deep end, run again from a stage's features by the network's own forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from kdharness.api.functional import eval_mode

# What normalisations behind the stage go by.
Statistics = Literal["frozen", "own"]


@dataclass(frozen=True)
class Lead:
    """What a forward pass does up to a stage.

    before: the leaf modules that run before it, and in no stage.
    idle: those of them that look at the image, which nothing behind the stage does but through it; with the shape of
        what each gives for one image.
    shapes: of the outputs of all stages up to it, for one image.
    norms: the normalisations that run behind it.
    """

    before: list[nn.Module]
    idle: list[tuple[nn.Module, torch.Size]]
    shapes: list[torch.Size]
    norms: list[_NormBase]


class DeepEnd:
    """Runs a network from one of its stages on.

    run: the network's forward, in its precision and layout.
    name: the model's, for errors.
    """

    def __init__(self, network: nn.Module, run: Callable[[Tensor], Tensor], name: str) -> None:
        self.network = network
        self.run = run
        self.name = name

    def logits(
        self, stages: Sequence[nn.Module], features: Tensor, lead: Lead, blank: Tensor, statistics: Statistics | None
    ) -> Tensor:
        """Logits from the last stage's output. blank: one image of zeros.

        The forward runs on the blank image with the stages replaced by what they would return, and what comes before
        them by zeros, so that it costs what the deep end costs. Buffers of layers before the last stage are left alone.
        """
        if features.ndim != len(lead.shapes[-1]):
            have, want = list(features.shape), ["N", *lead.shapes[-1][1:]]
            raise ValueError(f"a stage of model '{self.name}' gives {want}, and its deep end was given {have}")
        outputs = [*(blank.new_zeros(shape) for shape in lead.shapes[:-1]), features]
        skipped = [(module, blank.new_zeros(shape)) for module, shape in lead.idle]
        training = [module.training for module in lead.before]
        with ExitStack() as replaced:
            for module, output in (*skipped, *zip(stages, outputs, strict=True)):
                replaced.enter_context(_returning(module, output))
            if statistics is not None:
                replaced.enter_context(_normalising(lead.norms, statistics))
            try:
                for module in lead.before:
                    module.training = False
                return self.run(blank)
            finally:
                for module, flag in zip(lead.before, training, strict=True):
                    module.training = flag

    def lead(self, stages: Sequence[nn.Module], blank: Tensor) -> Lead:
        """Found by one forward pass in eval mode. ValueError where the deep end needs more than the last stage gives:
        a connection skips that stage.
        """
        inside = {id(m) for s in stages for m in s.modules()}
        order: list[nn.Module] = []
        reached: dict[nn.Module, tuple[int, Tensor]] = {}

        def enter(module: nn.Module, args: Any) -> None:
            if id(module) not in inside and not any(module.children()):
                order.append(module)

        def leave(module: nn.Module, args: Any, output: Tensor) -> None:
            reached[module] = len(order), output

        handles = [m.register_forward_pre_hook(enter) for m in self.network.modules()]
        handles += [s.register_forward_hook(leave) for s in stages]
        try:
            with torch.no_grad(), eval_mode(self.network):
                self.network(blank)
        finally:
            for handle in handles:
                handle.remove()
        before = order[: reached[stages[-1]][0]]
        norms = [m for m in self.network.modules() if isinstance(m, _NormBase)]
        norms = [m for m in norms if id(m) not in inside and all(m is not other for other in before)]
        # A module that runs more than once may run behind the stage too, or give something else the second time.
        once = [m for m in before if order.count(m) == 1]
        idle = self._idle(stages, [reached[s][1] for s in stages], blank, once)
        return Lead(before, idle, [reached[s][1].shape for s in stages], norms)

    def _idle(
        self, stages: Sequence[nn.Module], outputs: Sequence[Tensor], blank: Tensor, before: Sequence[nn.Module]
    ) -> list[tuple[nn.Module, torch.Size]]:
        """Those of the modules `before` whose output depends on the image or a stage, with its shape.

        ValueError where the logits depend on the image, or an earlier stage, but through the last stage.
        """
        given: dict[nn.Module, Any] = {}

        def give(module: nn.Module, args: Any, output: Any) -> None:
            given[module] = output

        starts = [start.detach().clone().requires_grad_() for start in (blank, *outputs[:-1])]
        with torch.enable_grad(), eval_mode(self.network), ExitStack() as replaced:
            for module, output in zip(stages, (*starts[1:], outputs[-1].detach()), strict=True):
                replaced.enter_context(_returning(module, output))
            for module in before:
                replaced.callback(module.register_forward_hook(give).remove)
            logits = self.run(starts[0])
        if _reaches(logits, starts):
            raise ValueError(
                f"model '{self.name}' has a connection that skips one of its stages: "
                "its deep end cannot be run from that stage's features alone"
            )
        return [(m, out.shape) for m, out in given.items() if isinstance(out, Tensor) and _reaches(out, starts)]


def _reaches(output: Tensor, starts: Sequence[Tensor]) -> bool:
    """Whether the graph that an output was computed by begins at one of `starts`."""
    wanted, seen = {id(start) for start in starts}, set()
    waiting = [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if id(getattr(node, "variable", None)) in wanted:
            return True
        waiting += [following for following, _ in node.next_functions]
    return False


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


@contextmanager
def _normalising(norms: Sequence[_NormBase], statistics: Statistics) -> Iterator[None]:
    """The normalisations by their running statistics, or by those of what they are given; none of them is updated."""
    kept = [(norm, norm.training, norm.track_running_stats, dict(norm._buffers)) for norm in norms]
    try:
        for norm in norms:
            norm.training = statistics == "own"
            if statistics == "own":
                # Without running statistics there is nothing to go by but the batch, and nothing to update.
                norm.track_running_stats = False
                norm._buffers.update(running_mean=None, running_var=None)
        yield
    finally:
        for norm, training, tracked, buffers in kept:
            norm.training, norm.track_running_stats = training, tracked
            norm._buffers.update(buffers)
