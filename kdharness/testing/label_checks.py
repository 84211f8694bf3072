"""Checks of what methods do to labels and images: mixed labels, and a transform of their own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kdharness.data.batches import Samples
from kdharness.engine.lockstep import SharedBatch
from kdharness.testing.bench import Bench
from kdharness.testing.case import CheckFailed, MethodCase
from kdharness.testing.operations import operations
from kdharness.testing.rehearsal import on_the_cpu
from kdharness.testing.step_checks import hand_over


def check_mixed_labels_are_read_as_declared(case: MethodCase) -> None:
    """A step on mixed images gives finite terms and waits for no device; other `targets` change none ("mix"), or
    none that are tagged "task" ("larger"): these read the soft targets.
    """
    with on_the_cpu() as device:
        bench, other = Bench(case, device, mixed=True), Bench(case, device, mixed=True)
        other.samples.targets = (bench.samples.targets + 1) % bench.classes
        for phase, _ in zip(bench.phases(), other.phases(), strict=True):
            hand_over(bench, other)
            with operations() as found:
                bench.step()
            other.step()
            if found.read_backs:
                raise CheckFailed(f"a step on mixed images waits for the device: {found.waited}")
            _compare_terms(bench, other.returned, phase.name)


def _compare_terms(bench: Bench, others: Mapping[str, Tensor], phase: str) -> None:
    declared = bench.method.mixed_labels
    for name, term in bench.returned.items():
        if not bool(term.isfinite()):
            raise CheckFailed(f"losses()['{name}'] of mixed images in phase '{phase}' is {float(term.detach())}")
        is_task = bench.method.terms.get(name, "task" if name == "ce" else "distill") == "task"
        if (declared == "mix" or is_task) and not torch.equal(term, others[name]):
            what = f"losses()['{name}'] of mixed images reads batch.targets"
            raise CheckFailed(f'{what}, and mixed_labels is "{declared}"; see batch.task_loss')


def check_transform_is_pure(case: MethodCase) -> None:
    """`transform` gives the same again for the same batch and draws: of another instance, and after a step."""
    with on_the_cpu() as device:
        bench, other = Bench(case, device), Bench(case, device, seed=1)
        for phase, _ in zip(bench.phases(), other.phases(), strict=True):
            first, second = _transformed(bench), _transformed(other)
            bench.step()
            for again, when in ((second, "of another instance"), (_transformed(bench), "after a step")):
                different = [name for name, tensor in first.items() if not torch.equal(tensor, again[name])]
                if different:
                    what = f"transform() in phase '{phase.name}' gives something else {when}"
                    raise CheckFailed(f"{what}: {', '.join(different)}")


def _transformed(bench: Bench) -> dict[str, Tensor]:
    shared = SharedBatch(bench.samples, [bench.member], ("bench",))
    info = bench.member.info(bench.member.clock.place(1, 2), shared.numbers)
    return _tensors(bench, bench.member.transformed(bench.samples, info, *shared.axes))


def _tensors(bench: Bench, samples: Samples) -> dict[str, Tensor]:
    views = {f"view '{view.name}'": samples.view(key) for view, key in bench.member.views}
    soft = {} if samples.soft_targets is None else {"soft_targets": samples.soft_targets}
    return {**views, **soft, "targets": samples.targets, "indices": samples.indices}
