"""Teachers: loaded and checked once, run once per batch for all cells that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

import torch
from safetensors.torch import load_file
from torch import Tensor

from kdharness.api.declarations import Tap
from kdharness.api.ensemble import ensemble_of
from kdharness.api.functional import log_mean_probability
from kdharness.api.staged import Outputs, StagedModel
from kdharness.data.batches import Samples
from kdharness.data.watched import Watched
from kdharness.device.clock import SHARED, Timers
from kdharness.errors import UserError


def load_weights(path: Path) -> dict[str, Tensor]:
    """A network's tensors from a .safetensors file, or from a PyTorch file read without running code from it.

    PyTorch files may hold the state dict itself or under "model", "state_dict" or "student"; "module." prefixes are
    taken off.
    """
    try:
        if path.suffix == ".safetensors":
            weights: dict[str, Tensor] = load_file(path)
            return weights
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"teacher file {path} does not exist") from None
    except Exception as error:  # whatever a damaged or foreign file provokes, its name is what the user needs
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserError(f"teacher file {path} cannot be read as weights: {first}") from error
    for name in ("model", "state_dict", "student"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(f"teacher file {path} holds no state dict of tensors")
    return {key.removeprefix("module."): value for key, value in content.items()}


def fill(model: StagedModel, weights: Mapping[str, Tensor], path: Path) -> None:
    """Loads `weights` into the network. UserError names the first tensor that is missing, superfluous or of another
    shape.
    """
    expected = model.network.state_dict()
    counters = {k for k in expected if k.endswith("num_batches_tracked")}
    for name in sorted(set(expected) - set(weights) - counters):
        raise UserError(f"teacher file {path} does not fit model '{model.spec.name}': it lacks '{name}'")
    for name in sorted(set(weights) - set(expected)):
        raise UserError(f"teacher file {path} does not fit model '{model.spec.name}': '{name}' is not part of it")
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            have, want = list(tensor.shape), list(expected[name].shape)
            raise UserError(
                f"teacher file {path} does not fit model '{model.spec.name}': '{name}' is {have}, not {want}"
            )
    model.network.load_state_dict(dict(weights), strict=False)


class Teacher:
    """A frozen network in eval mode, with its file's digest, its test accuracy in percent and, by split, its logits
    [N, classes] on the CPU.
    """

    def __init__(self, model: StagedModel, digest: str, top1: float, test_logits: Tensor) -> None:
        self.model = model.eval().requires_grad_(False)
        self.digest = digest
        self.top1 = top1
        self.logits = {"test": test_logits}
        self._pristine = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        self._stamp = self.stamp()

    def stamp(self) -> tuple[int, int]:
        """Changes whenever a weight, a buffer or a mode does."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return sum(t._version for t in tensors), sum(m.training for m in self.model.modules())

    @property
    def touched(self) -> bool:
        return self.stamp() != self._stamp

    def restore(self) -> None:
        """Back to the weights it was loaded with."""
        self.model.load_state_dict(self._pristine)
        self.model.eval().requires_grad_(False)
        self._stamp = self.stamp()


class Ensemble:
    """Several teachers as one, for a method that reads one. They stay what they are, and are run once for all."""

    def __init__(self, members: Sequence[Teacher]) -> None:
        self.members = tuple(members)
        self.model = ensemble_of([m.model for m in members]).eval()

    @property
    def touched(self) -> bool:
        return any(m.touched for m in self.members)

    def restore(self) -> None:
        for member in self.members:
            member.restore()


class TeacherBatch:
    """What the teachers make of one batch: each runs when it is first asked for, with the union of the taps that are
    read.
    """

    def __init__(
        self, samples: Samples, taps: Mapping[int, Sequence[Tap]], bf16: bool, timers: Timers, watched: Watched
    ) -> None:
        self.watched = watched
        self.samples = samples
        self.taps = taps
        self.bf16 = bf16
        self.timers = timers
        self._outputs: dict[int, Outputs] = {}

    def outputs(self, teacher: Teacher | Ensemble) -> Outputs:
        key = id(teacher)
        if key not in self._outputs:
            with self.timers.charge(SHARED):
                self._outputs[key] = self._mean(teacher) if isinstance(teacher, Ensemble) else self._run(teacher)
            self.watched.add([t for view in self._outputs[key].views for t in view.tensors()])
        return self._outputs[key]

    def _run(self, teacher: Teacher) -> Outputs:
        taps = self.taps.get(id(teacher), ())
        device = self.samples.targets.device.type
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            views = tuple(teacher.model.run(view, taps) for view in self.samples.views)
        views[0].views = views
        return views[0]

    def _mean(self, ensemble: Ensemble) -> Outputs:
        members = [self.outputs(m).views for m in ensemble.members]
        mean = [log_mean_probability([o.logits for o in outputs]) for outputs in zip(*members, strict=True)]
        views = tuple(Outputs(ensemble.model, logits, {}) for logits in mean)
        views[0].views = views
        return views[0]


class TeacherOutputs(Sequence[Outputs]):
    """One cell's teachers for one batch, in the cell's order."""

    def __init__(self, teachers: Sequence[Teacher | Ensemble], batch: TeacherBatch) -> None:
        self._teachers = teachers
        self._batch = batch

    def __len__(self) -> int:
        return len(self._teachers)

    @overload
    def __getitem__(self, number: int) -> Outputs: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Outputs]: ...
    def __getitem__(self, number: int | slice) -> Outputs | Sequence[Outputs]:
        if isinstance(number, slice):
            return [self._batch.outputs(t) for t in self._teachers[number]]
        return self._batch.outputs(self._teachers[number])
