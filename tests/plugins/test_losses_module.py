"""The losses that others build on: pure functions whose arguments and numbers stand under one version."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kdharness_plugins.methods
import pytest
import torch
from kdharness_plugins import losses
from torch import Tensor

README = Path(__file__).parents[2] / "plugins" / "README.md"
NAMES = [name for name in losses.__all__ if name != "LOSSES_VERSION"]

# A change in this table raises LOSSES_VERSION, as it does in losses.py. Numbers are of the inputs below.
VERSION = 1
PINNED: dict[str, tuple[str, float]] = {
    "ab_loss": ("student_features, teacher_features, margin=1.0", 1.2901189525533487),
    "afd_loss": ("student_features, teacher_features, attention", 0.000822953466027007),
    "abkd_loss": ("student_logits, teacher_logits, alpha, beta, temperature", 0.0031291330664374364),
    "at_loss": ("student_features, teacher_features, p=2", 0.00861202680655032),
    "ba_loss": ("student_logits, teacher_logits", 4.18184934851235),
    "cc_loss": ("student_embedding, teacher_embedding", 11.273165707632629),
    "crd_loss": (
        "student_embedding, teacher_embedding, memory_student, memory_teacher, positives, negatives, temperature, "
        "bank_size, z_student, z_teacher",
        5.306897610111928,
    ),
    "crld_loss": (
        "student_logits_weak, student_logits_strong, teacher_logits_weak, teacher_logits_strong, temperature, "
        "weak_threshold, strong_threshold, within_weight, cross_weight",
        2.6249116481828336,
    ),
    "cskd_loss": ("student_logits, partner_logits, temperature", 1.653908270001352),
    "deit_token_loss": ("student_logits, teacher_logits, kind, temperature", 1.653908270001352),
    "ctkd_loss": ("student_logits, teacher_logits, student_theta, start, span, strength", 1.724769196801712),
    "dist_loss": ("student_logits, teacher_logits, beta, gamma, temperature", 24.50710474148543),
    "dkd_loss": ("student_logits, teacher_logits, targets, alpha, beta, temperature", 3.5185286856922016),
    "fcfd_loss": ("student_features, teacher_features", 25.80701219473634),
    "fsp_loss": ("student_features, teacher_features", 6.2332185068094965),
    "ft_loss": ("student_factor, teacher_factor", 0.07688454359758949),
    "hcl_loss": ("student_features, teacher_features", 16.297594665596836),
    "hint_distance": ("features, target, reduction", 20.909246742561756),
    "itrd_correlation_loss": ("student_embedding, teacher_embedding, alpha", 2.9638547771242),
    "itrd_mutual_loss": ("student_embedding, teacher_embedding", 0.27105470693699507),
    "kd_loss": ("student_logits, teacher_logits, temperature", 1.653908270001352),
    "kdpp_loss": ("student_embedding, teacher_embedding, centres, targets", 1.0562087975178482),
    "label_smoothing_loss": ("student_logits, targets, smoothing", 2.739817792933918),
    "kdsvd_loss": ("student_features, teacher_features, k=1", 0.0879125729313424),
    "lskd_loss": ("student_logits, teacher_logits, temperature", 0.09708713256434165),
    "mlkd_loss": ("student_logits, teacher_logits, temperatures", 3.3124268721459464),
    "mutual_loss": ("logits, others, temperature=1.0, of_mean=False, of_others='mean'", 1.2534806108478074),
    "nkd_loss": ("student_logits, teacher_logits, targets, gamma, temperature", 7.599253659185866),
    "normkd_loss": ("student_logits, teacher_logits, scale", 1.9043148958939555),
    "nst_loss": ("student_features, teacher_features", 0.17123451372459564),
    "ofd_loss": ("student_features, teacher_features, margins", 818.0900685649763),
    "own_target_loss": ("logits, hard", 1.2058980441010085),
    "padl2_loss": ("student_embedding, teacher_embedding, log_variance, eps=1e-06", 6.810021883490049),
    "pefd_loss": ("student_projections, teacher_embedding", 1.0427489656190472),
    "pkt_loss": ("student_embedding, teacher_embedding, eps=1e-07", 0.18972991062595723),
    "pskd_loss": ("student_logits, previous_probabilities, targets, alpha", 2.067462386854506),
    "rkd_loss": ("student_embedding, teacher_embedding, distance_weight, angle_weight", 12.100862578126454),
    "rsd_loss": ("student_embedding, teacher_embedding, kappa", 7.205554858336697),
    "simkd_loss": ("student_feature, teacher_feature", 4.050202014644465),
    "rld_loss": (
        "student_logits, teacher_logits, targets, alpha, beta, temperature, alpha_temperature",
        3.0698808476566235,
    ),
    "soft_cross_entropy": ("student, teacher", 2.34017826899288),
    "softened_kl": ("logits, target_logits, temperature, t_squared", 1.653908270001352),
    "sp_loss": ("student_features, teacher_features", 0.32118550570745646),
    "srd_loss": ("student_embedding, teacher_embedding", 7.03082180185463),
    "srd_projected_loss": ("student_embedding, teacher_embedding, eps", 5.8602989260458305),
    "srrl_loss": (
        "student_embedding, teacher_embedding, student_logits, teacher_logits, feature_weight, logit_weight",
        20.90924674256175,
    ),
    "sskd_head_loss": ("similarities", 0.8268623461560206),
    "sskd_loss": ("student_scores, teacher_scores, answers, temperature, keep", 1.8986628227661224),
    "tfkd_loss": ("student_logits, targets, correct_probability, temperature=1.0", 2.330777473556372),
    "ttm_loss": ("student_logits, teacher_logits, gamma", 0.8288424725514613),
    "vid_loss": ("student_mean, student_log_scale, teacher_feature, eps=1e-05", 1.796430484782659),
    "vkd_loss": ("student_embedding, teacher_embedding", 1.0779532630506365),
    "ickd_loss": ("student_feature, teacher_feature", 1.8969364844028087),
    "catkd_loss": ("student_cams, teacher_cams, resolution, normalize", 0.49537205393657163),
    "mgd_loss": ("student_feature, teacher_feature", 145.80727252720075),
    "sdd_loss": ("student_local_logits, teacher_local_logits, targets, temperature", 2.07685977877653),
    "sdd_dkd_loss": (
        "student_local_logits, teacher_local_logits, targets, alpha, beta, temperature",
        5.036175724045783,
    ),
    "sdd_nkd_loss": ("student_local_logits, teacher_local_logits, targets, gamma, temperature", 8.313857591484265),
    "semckd_loss": ("student_features, teacher_features, student_attention", -0.05542673239649254),
    "ofa_loss": ("student_logits, teacher_logits, targets, eps, temperature", 6.474396559225114),
    "wkd_f_loss": ("student_feature, teacher_feature, mean_weight, eps=1e-05, grid=1", 11.046895144859008),
    "wsld_loss": ("student_logits, teacher_logits, targets, temperature", 12.431377574759276),
    "wttm_loss": ("student_logits, teacher_logits, gamma", 1.5609590927311927),
    "eakd_loss": ("student_logits, teacher_logits, temperature, weight_temperature", 2.2258440189694224),
    "revision_loss": (
        "student_logits, teacher_logits, targets, logit_weight, probability_weight, eta",
        22.363779851983427,
    ),
    "rc_loss": ("student_logits, targets, temperature", 0.22922385552730162),
    "sld_loss": ("student_logits, teacher_logits, targets, temperatures, swap_student", 5.753482256817071),
    "wkd_l_loss": (
        "student_logits, teacher_logits, targets, cost, temperature, gamma, regularisation, iterations",
        1.6543394594119052,
    ),
}


def numbers(*shape: int, step: float) -> Tensor:
    """The same on every machine: a random generator's depend on the device and may on the release."""
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float64) * step).sin().reshape(shape) * 2


def inputs() -> dict[str, Any]:
    """By argument; what has a default is left to it."""
    student, teacher = numbers(6, 5, step=0.7), numbers(6, 5, step=1.1)
    maps = [numbers(6, 3, 4, 4, step=0.3)], [numbers(6, 7, 2, 2, step=0.9)]
    of = dict.fromkeys(("student_logits", "student_embedding", "student", "logits", "features"), student)
    of |= dict.fromkeys(("teacher_logits", "teacher_embedding", "teacher", "target_logits", "target"), teacher)
    return {
        **of,
        "student_features": maps[0],
        "teacher_features": maps[1],
        "others": [teacher, teacher.flip(0)],
        "targets": torch.tensor([0, 1, 2, 3, 4, 0]),
        "student_mean": numbers(6, 4, 3, 3, step=0.4),
        "teacher_feature": numbers(6, 4, 3, 3, step=0.8),
        "student_log_scale": numbers(4, step=0.6),
        "beta": 2.0,
        "gamma": 0.5,
        "alpha": 1.5,
        "temperature": 3.0,
        "distance_weight": 25.0,
        "angle_weight": 50.0,
        "reduction": "batch_mean",
        "t_squared": True,
        "hard": False,
        "memory_student": numbers(8, 5, step=0.2) / 10,
        "memory_teacher": numbers(8, 5, step=0.5) / 10,
        "positives": torch.tensor([0, 1, 2, 3, 4, 5]),
        "negatives": torch.arange(6).unsqueeze(1) % 4 + torch.arange(1, 4),
        "bank_size": 8,
        "z_student": 20.0,
        "z_teacher": 30.0,
        "smoothing": 0.2,
        "correct_probability": 0.9,
        "previous_probabilities": teacher.softmax(dim=1),
        "partner_logits": teacher,
        "attention": numbers(6, 1, 1, step=0.2).abs(),
        "centres": numbers(5, 5, step=1.3),
        "student_projections": [student, teacher.flip(0)],
        "kappa": 0.25,
        "eps": 1e-4,
        "feature_weight": 2.0,
        "logit_weight": 3.0,
        "student_feature": numbers(6, 4, 3, 3, step=0.4),
        "student_cams": numbers(6, 5, 4, 4, step=0.4),
        "teacher_cams": numbers(6, 5, 2, 2, step=0.8),
        "resolution": 2,
        "normalize": True,
        "mean_weight": 4.0,
        "temperatures": (2.0, 4.0),
        "kind": "soft",
        **dict.fromkeys(("student_logits_weak", "student_logits_strong"), student),
        "teacher_logits_weak": teacher,
        "teacher_logits_strong": teacher.flip(0),
        "weak_threshold": 0.6,
        "strong_threshold": 0.5,
        "within_weight": 2.0,
        "cross_weight": 0.5,
        "student_factor": maps[0][0],
        "teacher_factor": maps[1][0],
        "alpha_temperature": 2.0,
        "scale": 2.0,
        "student_theta": torch.ones(1, dtype=torch.float64),
        "start": 1.0,
        "span": 20.0,
        "strength": 0.5,
        "weight_temperature": 2.0,
        "swap_student": True,
        "probability_weight": 2.0,
        "eta": 0.8,
        "cost": numbers(5, 5, step=0.5).square(),
        "regularisation": 0.5,
        "iterations": 5,
        "student_local_logits": numbers(6, 5, 3, step=0.7),
        "teacher_local_logits": numbers(6, 5, 3, step=1.1),
        "student_attention": numbers(6, 1, 2, step=0.5),
        "log_variance": numbers(6, 5, step=0.9),
        "similarities": numbers(6, 2, step=0.9),
        "student_scores": student,
        "teacher_scores": teacher,
        "answers": torch.arange(6) % 5,
        "keep": 0.5,
    }


# Losses of several stages whose maps have equal shapes in student and teacher.
OF_EQUAL_SHAPES = ("ab_loss", "fcfd_loss", "fsp_loss", "hcl_loss", "kdsvd_loss", "ofd_loss", "semckd_loss")


def equal_shapes() -> dict[str, Any]:
    """Behind exp no map has a low rank, as maps of sines alone would."""
    sizes = ((6, 5, 4, 4), (6, 7, 2, 2))
    student = [numbers(*size, step=step).exp() - 1 for size, step in zip(sizes, (0.7, 1.3), strict=True)]
    teacher = [numbers(*size, step=step).exp() - 1 for size, step in zip(sizes, (1.1, 0.9), strict=True)]
    margins = [-numbers(size[1], step=0.6).abs() for size in sizes]
    return {"student_features": student, "teacher_features": teacher, "margins": margins}


def arguments_of(name: str) -> dict[str, Any]:
    given = inputs() | (equal_shapes() if name in OF_EQUAL_SHAPES else {})
    taken = inspect.signature(getattr(losses, name)).parameters
    return {key: given[key] for key, argument in taken.items() if argument.default is inspect.Parameter.empty}


def tensors_in(arguments: dict[str, Any]) -> list[Tensor]:
    values = (value if isinstance(value, list) else [value] for value in arguments.values())
    return [part for value in values for part in value if isinstance(part, Tensor)]


def test_the_table_is_of_this_version() -> None:
    assert losses.LOSSES_VERSION == VERSION
    assert sorted(PINNED) == NAMES == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_numbers_are_those_of_the_version(name: str) -> None:
    signature = inspect.signature(getattr(losses, name))
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    pinned, value = PINNED[name]
    assert str(inspect.Signature(bare)) == f"({pinned})"
    assert float(getattr(losses, name)(**arguments_of(name))) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_pure_function(name: str) -> None:
    loss: Callable[..., Tensor] = getattr(losses, name)
    arguments, before = arguments_of(name), tensors_in(arguments_of(name))
    state = torch.get_rng_state()
    first = loss(**arguments)
    assert first.shape == ()
    torch.manual_seed(7)
    assert torch.equal(loss(**arguments), first)
    assert all(torch.equal(now, then) for now, then in zip(tensors_in(arguments), before, strict=True))
    assert loss.__closure__ is None
    torch.set_rng_state(state)
    loss(**arguments)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_learned_from_at_any_precision(name: str) -> None:
    arguments = arguments_of(name)
    learned = tensors_in({key: arguments[key] for key in list(arguments)[:1]})
    for tensor in learned:
        tensor.requires_grad_()
    getattr(losses, name)(**arguments).backward()
    assert all(tensor.grad is not None and tensor.grad.abs().sum() > 0 for tensor in learned)


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_gives_shapes(name: str) -> None:
    assert "[N, " in (getattr(losses, name).__doc__ or "")


def test_every_loss_of_a_method_is_there() -> None:
    """What is called a loss in a method's file; files with a leading _ are nobody's method."""
    found = set()
    for module in pkgutil.iter_modules(kdharness_plugins.methods.__path__):
        if not module.name.startswith("_"):
            loaded = importlib.import_module(f"{kdharness_plugins.methods.__name__}.{module.name}")
            own = (f for n, f in vars(loaded).items() if n.endswith("_loss") and not n.startswith("_"))
            found |= {f.__name__ for f in own if inspect.isfunction(f) and f.__module__ == loaded.__name__}
    assert found <= set(NAMES)


def test_authors_are_told_of_each() -> None:
    text = README.read_text(encoding="utf-8")
    section = text[text.index("## Losses to build on") :]
    section = section[: section.index("\n## ")]
    for name, (arguments, _) in PINNED.items():
        bare = ", ".join(part.split("=")[0] for part in arguments.split(", "))
        assert f"| `{name}({bare})` |" in section
