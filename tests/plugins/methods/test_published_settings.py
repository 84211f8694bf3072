"""The defaults of every method are published numbers: a change of one is a change of the method.

Sources stand in the methods' files: papers, their authors' code, and the two implementations that most published
CIFAR-100 tables were made with (RepDistiller, mdistiller).
"""

from __future__ import annotations

from typing import Any

import pytest
from kdharness_plugins.methods import kdharness_methods

from kdharness.api import Reads, View

SPECS = {spec.name: spec for spec in kdharness_methods()}

MEAL: dict[str, Any] = {
    "similarity": "ce", "similarity_weight": 1, "stage_weights": (0.001, 0.01, 0.05, 0.1, 1), "intermediate": True,
    "pooling": "average", "pooled_sizes": (), "adv_mode": "joint_same_sign", "adversarial_weight": 1,
    "discriminator_shrink": 2, "discriminator_output_relu": True, "discriminator_lr": 1e-3, "teacher_choice": "random",
    "teachers_used": 0, "teacher_batchnorm": "eval", "hard_label_weight": 0, "warm_start": False, "lr": None,
    "weight_decay": None, "adversarial_weights": (), "discriminator_input": "logits", "teachers_drawn": "first",
    "views": "same", "cutmix": None,
}  # fmt: skip
# What goes with any loss of logits, and does nothing by default.
AS_IT_IS: dict[str, Any] = {"edit": "none", "weighting": "none", "weight_temperature": 3}
DEFAULTS: dict[str, dict[str, Any]] = {
    "vanilla": {"label_smoothing": None, "length": 1},
    "bootstrapping": {"kind": "soft", "beta": None},
    "early_stopping": {"held_out": 0.1, "criterion": "accuracy"},
    "kd": {"ce_weight": 0.1, "weight": 0.9, "temperature": 4, "answers": "own", **AS_IT_IS},
    "takd": {"ce_weight": 0.1, "weight": 0.9, "temperature": 4, "answers": "own", "assistant": "", **AS_IT_IS},
    "ban": {"ce_weight": 0.1, "weight": 0.9, "temperature": 4, "answers": "own", "generations": 2, **AS_IT_IS},
    "dkd": {**AS_IT_IS, "ce_weight": 1, "alpha": 1, "beta": 8, "temperature": 4, "warmup_epochs": 20},
    "dist": {"ce_weight": 1, "beta": 2, "gamma": 2, "temperature": 4},
    "dot": {"ce_weight": 0.1, "weight": 0.9, "temperature": 4, "answers": "own", "delta": 0.075, **AS_IT_IS},
    "lskd": {"ce_weight": 0.1, "weight": 9, "temperature": 2, **AS_IT_IS},
    "fitnet": {"ce_weight": 1, "weight": 100, "hint_stage": 1},
    "at": {"ce_weight": 1, "weight": 1000, "power": 2},
    "sp": {"ce_weight": 1, "weight": 3000},
    "nst": {"ce_weight": 1, "weight": 50},
    "pkt": {"ce_weight": 1, "weight": 30_000},
    "rkd": {"ce_weight": 1, "weight": 1, "distance_weight": 25, "angle_weight": 50},
    "cc": {"ce_weight": 1, "weight": 0.02, "dimension": 128},
    "vid": {"ce_weight": 1, "weight": 1, "initial_variance": 5, "eps": 1e-5},
    "byot": {
        "preset": "conf", "alpha": None, "temperature": None, "t_squared": None, "hint_weight": None,
        "hint_reduction": None, "hint_adapter": None, "hint_exits": None, "deepest_ce": None, "bottleneck": None,
        "detach": None, "cuts": (),
    },
    "dml": {
        "peers": 1, "peer_model": None, "weight": 1, "temperature": 1, "updates": "in_turn", "of_mean": False,
        "of_others": "mean",
    },
    "meal": MEAL,
    "meal_v2": {
        **MEAL, "stage_weights": (1,), "intermediate": False, "discriminator_shrink": 8, "discriminator_lr": None,
        "teacher_choice": "mean_probability", "warm_start": True, "lr": 0.01, "weight_decay": 0,
    },
    "rona": {
        "mechanism": "loss_scalar", "sigma": 10, "delta": 1e-5, "bound": "adaptive", "hint_bound": 100,
        "distill_bound": 1, "selection": "kcenter", "query_rate": 0.5, "temperature": 3, "teacher_hint_stage": 0,
        "guide_stage": 1, "lr": 1e-3, "hint_epochs": 40, "warm_epochs": 3, "iterations": 5, "distill_epochs": 8,
        "self_epochs": 8, "self_decay": 2, "follow_recipe": True, "distill_batch_size": None, "self_batch_size": None,
        "asks": True, "selection_temperature": None, "diverse_shares": "proportional", "query_order": "selection",
        "target_epsilon": None, "noise": "secret",
    },
    "pate": {
        "teachers": 10, "aggregation": "gnmax", "sigma": None, "threshold": None, "threshold_sigma": None,
        "target_epsilon": None, "delta": 1e-5, "query_rate": 1, "label_weight": 0, "noise": "secret",
    },
    "dp_sgd": {
        "sigma": 4, "clip_norm": 4, "lot_size": None, "public_share": 0.5, "target_epsilon": None, "delta": 1e-5,
        "noise": "secret",
    },
    "crd": {
        "ce_weight": 1, "weight": 0.8, "dimension": 128, "negatives": 16384, "temperature": 0.07, "momentum": 0.5,
        "positive": "own",
    },
    "label_smoothing": {"smoothing": 0.1},
    "tfkd": {"kind": "virtual", "alpha": None, "temperature": None, "correct_probability": 0.99},
    "pskd": {"alpha": 0.8},
    "cskd": {"weight": 1, "temperature": 4},
    "dlb": {"weight": 0.5, "temperature": 3},
    "mean_teacher": {"weight": 100, "rampup_epochs": 5, "ema_decay": 0.99},
    "srrl": {"ce_weight": 1, "feature_weight": 1, "logit_weight": 1},
    "rsd": {"ce_weight": 1, "weight": 0.1, "kappa": 0.01, "expansion": 2},
    "pefd": {"ce_weight": 1, "weight": 25, "projectors": 3},
    "srd": {"ce_weight": 1, "kd_weight": 1, "temperature": 1, "weight": 2, "eps": 1e-4},
    "sskd": {
        "ce_weight": 0.1, "kd_weight": 0.9, "transformed_weight": 2.7, "similarity_weight": 10, "temperature": 4,
        "transformed_temperature": 4, "similarity_temperature": 0.5, "transformed_keep": 1, "similarity_keep": 0.75,
        "head_share": 0.25, "head_lr": 0.05,
    },
    "padl2": {"ce_weight": 1, "weight": 1, "eps": 1e-6, "pad_share": 0.3, "pad_lr": 0.002},
    "vkd": {"ce_weight": 1, "kd_weight": 1, "temperature": 1, "weight": 1},
    "kdpp": {"ce_weight": 1, "kd_weight": 1, "weight": 2, "temperature": 4, "warmup_epochs": 20},
    "itrd": {"ce_weight": 1, "correlation_weight": 2, "mutual_weight": 1, "alpha": 1.01},
    "simkd": {"weight": 1, "reduction": 2},
    "ickd": {"ce_weight": 1, "weight": 2.5},
    "catkd": {"ce_weight": 1, "weight": 40, "resolution": 2, "normalize": True},
    "mgd": {"ce_weight": 1, "weight": 7e-5, "masked": 0.15},
    "semckd": {"ce_weight": 1, "kd_weight": 1, "temperature": 4, "weight": 400, "softness": 1},
    "sdd": {
        "kind": "kd", "scales": (1, 2, 4), "temperature": 4, "alpha": 1, "beta": 8, "ce_weight": None, "weight": None,
        "warmup_epochs": None,
    },
    "ofa": {"ce_weight": 1, "kd_weight": 1, "weight": 1, "eps": 1, "temperature": 1},
    "wkd_f": {"ce_weight": 1, "weight": 0.08, "mean_weight": 4, "grid": 1, "eps": 1e-5, "decay_start": 0.625},
    "mlkd": {
        "ce_weight": 0.1, "weight": 0.9, "temperatures": (2, 3, 4, 5, 6), "two_views": True, "view": "fixmatch",
    },
    "crld": {
        "ce_weight": 1, "within_weight": 2, "cross_weight": 0.5, "temperature": 4, "weak_threshold": 0.9,
        "strong_threshold": 0.2, "view": "fixmatch",
    },
    "funmatch": {"temperature": 1, "length": 1},
    "one": {"branches": 3, "weight": 1, "temperature": 3, "rampup_epochs": 80},
    "deit": {"kind": "hard", "alpha": 0.5, "temperature": 1},
    "ab": {"ce_weight": 1, "weight": 1, "margin": 1, "init_share": 0.125},
    "fsp": {"ce_weight": 1, "weight": 1, "when": "before", "init_share": 0.125},
    "ft": {"ce_weight": 1, "weight": 200, "factor_share": 0.5, "paraphraser_share": 0.125, "paraphraser_lr": 0.01},
    "kdsvd": {"ce_weight": 1, "weight": 1, "k": 1},
    "ofd": {"ce_weight": 1, "weight": 0.001},
    "fcfd": {
        "ce_weight": 1, "kd_weight": 1, "mixed_weight": 1, "weight": 5, "temperature": 4, "warmup_epochs": 20,
        "paths": 2, "directions": "both", "teacher_batchnorm": "eval",
    },
    "reviewkd": {"ce_weight": 1, "weight": 1, "warmup_epochs": 20},
    "afd": {"ce_weight": 1, "kd_weight": 0.9, "temperature": 4, "weight": 200, "dimension": 128},
    "ttm": {**AS_IT_IS, "ce_weight": 1, "weight": 45, "gamma": 0.1},
    "wttm": {**AS_IT_IS, "ce_weight": 1, "weight": 4, "gamma": 0.2},
    "nkd": {**AS_IT_IS, "ce_weight": 1, "weight": 1, "gamma": 3.5, "temperature": 3},
    "wsld": {**AS_IT_IS, "ce_weight": 1, "weight": 2.25, "temperature": 4},
    "normkd": {**AS_IT_IS, "ce_weight": 0.1, "weight": 0.9, "scale": 2},
    "rld": {
        **AS_IT_IS, "ce_weight": 1, "alpha": 1, "beta": 8, "temperature": 4, "alpha_temperature": 1,
        "warmup_epochs": 20,
    },
    "abkd": {**AS_IT_IS, "ce_weight": 1, "weight": 32, "alpha": 0.8, "beta": 0.3, "temperature": 4},
    "soft_logits": {**AS_IT_IS, "ce_weight": 0.1, "weight": 0.9},
    "ctkd": {**AS_IT_IS, "ce_weight": 0.1, "weight": 0.9, "start": 1, "span": 20, "ramp_epochs": 10},
    "eakd": {"ce_weight": 0.1, "weight": 0.9, "temperature": 4, "weight_temperature": 3},
    "swap": {"weight": 1, "temperature": 4},
    "sort": {"ce_weight": 0.1, "weight": 0.9, "temperature": 4},
    "sld": {"ce_weight": 0.1, "weight": 0.9, "temperatures": (1, 2, 3, 4, 5, 6), "views": 2, "late": 0.625},
    "revision": {"logit_weight": 4, "probability_weight": 1, "eta": 0.8},
    "rc": {"ce_weight": 0.1, "weight": 0.9, "rc_weight": 0.9, "temperature": 4},
    "wkd_l": {
        **AS_IT_IS, "ce_weight": 1, "weight": 1, "gamma": 600, "temperature": 8, "regularisation": 0.05,
        "iterations": 10, "sharpen": 1, "decay_start": 0.625, "images": 500,
    },
}  # fmt: skip

# A second view of the recipe's kind, which the student is not shown.
SECOND_VIEW = Reads(teachers="none", views=(View("recipe"), View("recipe", student=False)))
# Method: what it may see of the teachers, and of the networks' insides.
READS: dict[str, Reads] = {
    **dict.fromkeys(("vanilla", "dml", "bootstrapping", "early_stopping", "dp_sgd"), Reads(teachers="none")),
    **dict.fromkeys(("kd", "takd", "ban", "dkd", "dist", "lskd", "dot"), Reads()),
    **dict.fromkeys(("fitnet", "at", "sp", "nst", "vid"), Reads(taps=("stages",))),
    **dict.fromkeys(("pkt", "rkd", "cc"), Reads(taps=("embedding",))),
    "byot": Reads(teachers="none", taps=("stages", "embedding")),
    "meal": Reads(teachers="many", taps=("stages",)),
    "meal_v2": Reads(teachers="many"),
    "rona": Reads(teachers="many", taps=("stages",)),
    "pate": Reads(teachers="many", indices=True),
    "crd": Reads(taps=("embedding",), indices=True),
    **dict.fromkeys(("label_smoothing", "tfkd"), Reads(teachers="none")),
    "pskd": Reads(teachers="none", indices=True),
    "cskd": Reads(teachers="none", partners="same_class"),
    **dict.fromkeys(("dlb", "mean_teacher"), SECOND_VIEW),
    **dict.fromkeys(("srrl", "rsd", "pefd", "srd", "kdpp", "itrd", "sskd", "padl2"), Reads(taps=("embedding",))),
    **dict.fromkeys(("vkd", "simkd"), Reads(taps=("stages",))),
    **dict.fromkeys(("ickd", "catkd", "mgd", "wkd_f"), Reads(taps=("stages",))),
    **dict.fromkeys(("mlkd", "crld"), Reads(views=("recipe", "fixmatch"))),
    **dict.fromkeys(("funmatch", "deit"), Reads()),
    **dict.fromkeys(("ft", "kdsvd"), Reads(taps=("stages",))),
    **dict.fromkeys(("ab", "ofd"), Reads(taps=("pre_activations",))),
    "fcfd": Reads(taps=("stages", "pre_activations")),
    "fsp": Reads(taps=("stem", "stages")),
    "reviewkd": Reads(taps=("stages", "embedding"), teacher_taps=("pre_activations", "embedding")),
    "one": Reads(teachers="none", taps=("stages",)),
    **dict.fromkeys(("vkd", "simkd", "afd"), Reads(taps=("stages",))),
    **dict.fromkeys(("ttm", "wttm", "nkd", "wsld", "normkd", "rld", "abkd", "soft_logits", "ctkd"), Reads()),
    **dict.fromkeys(("eakd", "swap", "sort", "revision", "rc", "wkd_l"), Reads()),
    "sld": Reads(views=("recipe", "strong")),
    **dict.fromkeys(("ickd", "catkd", "mgd", "semckd", "wkd_f"), Reads(taps=("stages",))),
    **dict.fromkeys(("ickd", "catkd", "mgd", "semckd", "wkd_f"), Reads(taps=("stages",))),
    **dict.fromkeys(("ickd", "catkd", "mgd", "sdd", "semckd", "wkd_f"), Reads(taps=("stages",))),
    "ofa": Reads(taps=("stages",), teacher_taps=()),
}


@pytest.mark.parametrize("name", SPECS)
def test_defaults_are_the_published_settings(name: str) -> None:
    assert {parameter.name: parameter.default for parameter in SPECS[name].parameters} == DEFAULTS[name]


@pytest.mark.parametrize("name", SPECS)
def test_a_method_reads_what_its_formula_needs_and_no_more(name: str) -> None:
    assert SPECS[name].factory().reads == READS[name]


def test_the_tags_of_terms_say_what_is_distillation() -> None:
    """`ablate` drops the terms of tag "distill"; a player's terms train somebody else."""
    tags = {name: dict(SPECS[name].factory().terms) for name in SPECS}
    players = {
        "dml": {"ce": "task", "kl": "distill", "peer_ce": "player", "peer_kl": "player"},
        "byot": {"ce": "task", "exit_ce": "task", "exit_kd": "distill", "hint": "distill"},
        "meal": {"similarity": "distill", "adversarial": "player"},
        "meal_v2": {"similarity": "distill", "adversarial": "player"},
        "rona": {"hint": "distill", "distill": "distill", "self": "task"},
        "fitnet": {"ce": "task", "hint": "distill"},
        "ft": {"ce": "task", "ft": "distill", "reconstruction": "player"},
        "semckd": {"ce": "task", "kd": "distill", "semckd": "distill"},
        "ofa": {"ce": "task", "kd": "distill", "ofa": "distill"},
        "dot": {"ce": "task", "kd": "distill"},
        "vanilla": {"ce": "task"},
        "early_stopping": {"ce": "task"},
        "takd": {"ce": "task", "kd": "distill"},
        "ban": {"ce": "task", "kd": "distill"},
        "pate": {"votes": "distill"},
        "dp_sgd": {"public": "task", "private": "task"},
        "srd": {"ce": "task", "kd": "distill", "srd": "distill"},
        "vkd": {"ce": "task", "kd": "distill", "vkd": "distill"},
        "kdpp": {"ce": "task", "kd": "distill", "nd": "distill"},
        "itrd": {"ce": "task", "correlation": "distill", "mutual": "distill"},
        "simkd": {"simkd": "distill"},
        "sskd": {
            "ce": "task",
            "kd": "distill",
            "transformed": "distill",
            "similarity": "distill",
            "contrast": "player",
        },
        "padl2": {"ce": "task", "l2": "distill", "padl2": "distill"},
        "mlkd": {"ce": "task", "instance": "distill", "batch": "distill", "class": "distill"},
        "funmatch": {"funmatch": "distill"},
        "one": {"ce": "task", "branch_ce": "task", "one": "distill"},
        "afd": {"ce": "task", "kd": "distill", "afd": "distill"},
        "fcfd": {"ce": "task", "kd": "distill", "appearance": "distill", "function": "distill"},
        "swap": {"swap": "distill"},
        "sld": {"ce": "task", "sld": "distill", "own": "distill"},
        "revision": {"revision": "distill"},
        "rc": {"ce": "task", "kd": "distill", "rc": "distill"},
    }
    assert tags == {name: players.get(name, {"ce": "task", name: "distill"}) for name in SPECS}


def test_every_method_declares_its_revision() -> None:
    """Without one a release of the package would void every result."""
    assert all(isinstance(spec.revision, int) and spec.revision >= 1 for spec in SPECS.values())
