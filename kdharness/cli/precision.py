"""A run's precisions: those that a device has not, and those that cost time there."""

from __future__ import annotations

from kdharness.cli.options import warn
from kdharness.device.names import is_cpu
from kdharness.errors import UserError
from kdharness.planning.plan import Plan


def check_precision(plan: Plan, devices: tuple[str, ...]) -> None:
    """UserError for a precision that one of the devices has not; a warning of one that is slower than fp32 there."""
    from kdharness.device.door import open_device  # loads torch

    for precision in sorted({str(planned.cell.recipe["precision"]) for planned in plan.cells}):
        for name in dict.fromkeys(devices):
            device = open_device(name)
            if reason := device.lacks(precision):
                raise UserError(f"recipe.precision = '{precision}': {reason} (--device {name})")
            if reason := device.makes_up(precision):
                warn(f"recipe.precision = '{precision}': {reason}; {_measured(plan, name, precision)}")


def _measured(plan: Plan, name: str, precision: str) -> str:
    """How long it takes, or the command that measures it."""
    from kdharness.device.door import open_device
    from kdharness.speed.advice import kept_ratio

    device = open_device(name)
    if is_cpu(name):
        device.use()  # its fingerprint names the threads of a worker
    pairs = [f"{cell.teacher}:{cell.student}" for cell in (planned.cell for planned in plan.cells) if cell.teachers]
    found = kept_ratio(device, precision, list(dict.fromkeys(pairs)))
    if found is not None:
        return f"{found[0]} took {found[1]:.1f} times as long as in fp32 here"
    pair = f" {pairs[0]}" if pairs else ""
    return f"it may take several times as long as fp32; to measure it: kdharness bench --advise{pair}"
