"""What `losses` returns, against the paper's formula written out in NumPy: weights, stages, reductions, temperatures.

Every parameter has a value of its own here, so that no two of them can stand for each other, and every stage and layer
holds other numbers, so that another choice of them gives another loss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods import kdharness_methods
from numpy.typing import NDArray
from torch import Tensor

from kdharness.api import Batch, BuildContext, Method, ModelShape, Outputs, StepInfo

Array = NDArray[np.float64]
Stages = tuple[tuple[int, ...], ...]

SPECS = {spec.name: spec for spec in kdharness_methods()}
CLASSES, SAMPLES, EPOCHS, PROGRESS = 7, 5, 40, 0.125
STUDENT: Stages = ((4, 8, 8), (6, 4, 4), (8, 2, 2))
TEACHERS: dict[str, Stages] = {
    "same_sizes": ((5, 8, 8), (7, 4, 4), (9, 2, 2)),
    "larger": ((5, 16, 16), (7, 8, 8), (9, 4, 4)),
    "more_stages": ((5, 16, 16), (7, 8, 8), (9, 4, 4), (10, 2, 2)),
}
TARGETS = [3, 0, 6, 3, 1]


class Net:
    """One network's outputs for the batch, for the method and as float64 arrays."""

    def __init__(self, stages: Stages, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(SAMPLES, *shape, generator=generator)

        # Like the output of a ReLU, each stage at a scale of its own.
        maps = [(k + 1) * draw(*shape).relu() for k, shape in enumerate(stages)]
        self.outputs = Outputs(None, 2 * draw(CLASSES), {"stages": maps, "embedding": draw(stages[-1][0])})  # type: ignore[arg-type]
        self.logits = array(self.outputs.logits)
        self.stages = [array(stage) for stage in maps]
        self.embedding = array(self.outputs.embedding)


def array(tensor: Tensor) -> Array:
    return tensor.detach().double().numpy()


def built(name: str, teacher: Stages, **parameters: Any) -> Method:
    shapes = [ModelShape(n, s, pre_activations=(), embedding=s[-1][0]) for n, s in (("s", STUDENT), ("t", teacher))]
    given = {"num_classes": CLASSES, "student": shapes[0], "teachers": (shapes[1],)}
    context = BuildContext(**{f.name: given.get(f.name) for f in dataclasses.fields(BuildContext)})
    method = SPECS[name].factory(**parameters)
    assert method.skip(context) is None
    torch.manual_seed(3)
    method.build(context)
    return method


# -- the formulas ------------------------------------------------------------------------------------------------------


def softmax(z: Array, axis: int = 1) -> Array:
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def cross_entropy(z: Array) -> float:
    return float(np.mean([-np.log(p[y]) for p, y in zip(softmax(z), TARGETS, strict=True)]))


def divergence(p: Array, q: Array) -> float:
    """KL(p || q), summed over classes."""
    return float((p * np.log(p / q)).sum())


def kd(m: Method, s: Net, t: Net) -> float:
    p, q = softmax(t.logits / 2.5), softmax(s.logits / 2.5)
    return 0.7 * 2.5**2 * divergence(p, q) / SAMPLES


def dkd(m: Method, s: Net, t: Net) -> float:
    tckd = nckd = 0.0
    for p, q, y in zip(softmax(t.logits / 3), softmax(s.logits / 3), TARGETS, strict=True):
        tckd += divergence(np.array([p[y], 1 - p[y]]), np.array([q[y], 1 - q[y]]))
        others = [k for k in range(CLASSES) if k != y]
        nckd += divergence(p[others] / p[others].sum(), q[others] / q[others].sum())
    share = PROGRESS * EPOCHS / 10
    return share * 9 * (1.5 * tckd + 2.5 * nckd) / SAMPLES


def dist(m: Method, s: Net, t: Net) -> float:
    p, q = softmax(t.logits / 2), softmax(s.logits / 2)
    inter = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
    intra = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, q.T, strict=True)])
    return float(4 * (3 * inter + 5 * intra))


def lskd(m: Method, s: Net, t: Net) -> float:
    def z(logits: Array) -> Array:
        return (logits - logits.mean(1, keepdims=True)) / logits.std(1, ddof=1, keepdims=True)

    return 6 * 9 * divergence(softmax(z(t.logits) / 3), softmax(z(s.logits) / 3)) / SAMPLES


def fitnet(stage: int) -> Callable[[Any, Net, Net], float]:
    def expected(m: Any, s: Net, t: Net) -> float:
        mapped = array(m.regressor[0](s.outputs.stages[stage]))
        mean, variance = mapped.mean((0, 2, 3), keepdims=True), mapped.var((0, 2, 3), keepdims=True)
        guided = np.maximum((mapped - mean) / np.sqrt(variance + 1e-5), 0)
        hint = t.stages[stage]
        assert guided.shape == hint.shape
        return float(7 * ((guided - hint) ** 2).sum() / hint.size)

    return expected


def pooled(maps: Array, size: int) -> Array:
    n, c, h, _ = maps.shape
    k = h // size
    return maps.reshape(n, c, size, k, size, k).mean((3, 5))


def matched(s: Net, t: Net) -> list[tuple[Array, Array]]:
    """Stages from the deep end, the larger map averaged to the size of the smaller."""
    pairs = []
    for k in range(1, 1 + min(len(s.stages), len(t.stages))):
        a, b = s.stages[-k], t.stages[-k]
        size = min(a.shape[-1], b.shape[-1])
        pairs.append((pooled(a, size), pooled(b, size)))
    return pairs


def at(m: Method, s: Net, t: Net) -> float:
    total = 0.0
    for pair in matched(s, t):
        attention = [(f**4).sum(1).reshape(SAMPLES, -1) for f in pair]
        one, other = (q / np.sqrt((q**2).sum(1, keepdims=True)) for q in attention)
        total += ((one - other) ** 2).mean()
    return float(3 * total)


def sp(m: Method, s: Net, t: Net) -> float:
    grams = []
    for net in (s, t):
        flat = net.stages[-1].reshape(SAMPLES, -1)
        gram = flat @ flat.T
        grams.append(gram / np.sqrt((gram**2).sum(1, keepdims=True)))
    return float(11 * ((grams[0] - grams[1]) ** 2).sum() / SAMPLES**2)


def nst(m: Method, s: Net, t: Net) -> float:
    def kernel(a: Array, b: Array) -> float:
        def unit(f: Array) -> Array:
            flat = f.reshape(*f.shape[:2], -1)
            return flat / np.maximum(np.sqrt((flat**2).sum(2, keepdims=True)), 1e-12)

        return float(np.mean([(x @ y.T) ** 2 for x, y in zip(unit(a), unit(b), strict=True)]))

    return 4 * sum(kernel(b, b) + kernel(a, a) - 2 * kernel(a, b) for a, b in matched(s, t))


def pkt(m: Method, s: Net, t: Net) -> float:
    found = []
    for net in (t, s):
        unit = net.embedding / np.sqrt((net.embedding**2).sum(1, keepdims=True))
        kernel = (unit @ unit.T + 1) / 2
        found.append(kernel / kernel.sum(1, keepdims=True))
    p, q = found
    return float(13 * (p * np.log(p / q)).sum() / SAMPLES**2)


def huber(difference: float) -> float:
    size = abs(difference)
    return 0.5 * size**2 if size < 1 else size - 0.5


def rkd(m: Method, s: Net, t: Net) -> float:
    """Means over all pairs and triplets, the degenerate ones included."""
    distances, angles = [], []
    for e in (s.embedding, t.embedding):
        lengths = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in e] for a in e])
        distances.append(lengths / (lengths.sum() / (SAMPLES * (SAMPLES - 1))))
        cosines = np.zeros((SAMPLES,) * 3)
        for i, j, k in product(range(SAMPLES), repeat=3):
            if j not in (i, k):
                one, other = e[i] - e[j], e[k] - e[j]
                cosines[i, j, k] = one @ other / np.sqrt((one @ one) * (other @ other))
        angles.append(cosines)
    losses = [np.mean([huber(d) for d in (pair[0] - pair[1]).ravel()]) for pair in (distances, angles)]
    return float(2 * (3 * losses[0] + 5 * losses[1]))


def cc(m: Any, s: Net, t: Net) -> float:
    parts = ((m.embed_student, s.embedding), (m.embed_teacher, t.embedding))
    one, other = (e @ array(part.weight).T + array(part.bias) for part, e in parts)
    assert one.shape == (SAMPLES, 16)
    gap = np.abs(one - other)
    return float(0.5 * sum((gap[i] * gap[i + 1]).sum() for i in range(SAMPLES - 1)) / (SAMPLES - 1))


def vid(m: Any, s: Net, t: Net) -> float:
    total = 0.0
    for k, (source, target) in enumerate(reversed(matched(s, t))):
        mean = source
        for place in (0, 2, 4):
            weight = array(m.regressors[k][place].weight)[:, :, 0, 0]
            mean = np.einsum("oc,nchw->nohw", weight, mean)
            mean = np.maximum(mean, 0) if place < 4 else mean
        variance = (np.log1p(np.exp(array(m.log_scales[k]))) + 0.01).reshape(1, -1, 1, 1)
        total += (0.5 * np.log(variance) + (target - mean) ** 2 / (2 * variance)).mean()
    return float(2 * total)


Formula = Callable[[Any, Net, Net], float]
# Method: the parameters, the name of the term, the formula, the teachers that it is tried with.
CASES: dict[str, tuple[str, Mapping[str, Any], str, Formula, tuple[str, ...]]] = {
    "kd": ("kd", {"weight": 0.7, "temperature": 2.5}, "kd", kd, ("same_sizes",)),
    "takd": ("takd", {"weight": 0.7, "temperature": 2.5, "assistant": "a"}, "kd", kd, ("same_sizes",)),
    "dkd": (
        "dkd",
        {"alpha": 1.5, "beta": 2.5, "temperature": 3.0, "warmup_epochs": 10},
        "dkd",
        dkd,
        ("same_sizes",),
    ),
    "dist": ("dist", {"beta": 3.0, "gamma": 5.0, "temperature": 2.0}, "dist", dist, ("same_sizes",)),
    "lskd": ("lskd", {"weight": 6.0, "temperature": 3.0}, "lskd", lskd, ("same_sizes",)),
    "fitnet": ("fitnet", {"weight": 7.0}, "hint", fitnet(1), tuple(TEACHERS)),
    "fitnet_deep": ("fitnet", {"weight": 7.0, "hint_stage": 2}, "hint", fitnet(2), tuple(TEACHERS)),
    "fitnet_shallow": ("fitnet", {"weight": 7.0, "hint_stage": 0}, "hint", fitnet(0), tuple(TEACHERS)),
    "at": ("at", {"weight": 3.0, "power": 4}, "at", at, tuple(TEACHERS)),
    "sp": ("sp", {"weight": 11.0}, "sp", sp, tuple(TEACHERS)),
    "nst": ("nst", {"weight": 4.0}, "nst", nst, tuple(TEACHERS)),
    "pkt": ("pkt", {"weight": 13.0}, "pkt", pkt, ("same_sizes",)),
    "rkd": ("rkd", {"weight": 2.0, "distance_weight": 3.0, "angle_weight": 5.0}, "rkd", rkd, ("same_sizes",)),
    "cc": ("cc", {"weight": 0.5, "dimension": 16}, "cc", cc, ("same_sizes",)),
    "vid": ("vid", {"weight": 2.0, "initial_variance": 3.0, "eps": 0.01}, "vid", vid, tuple(TEACHERS)),
}


@pytest.mark.parametrize(
    ("case", "teacher"), [(case, teacher) for case, (*_, teachers) in CASES.items() for teacher in teachers]
)
def test_the_term_is_the_papers(case: str, teacher: str) -> None:
    name, parameters, term, formula, _ = CASES[case]
    method = built(name, TEACHERS[teacher], ce_weight=0.3, **parameters)
    student, taught = Net(STUDENT, 1), Net(TEACHERS[teacher], 2)
    info = StepInfo("train", torch.tensor(5), EPOCHS, torch.tensor(PROGRESS))
    images = torch.zeros(SAMPLES, 1, 8, 8)
    batch = Batch(images, torch.tensor(TARGETS), info, views=(images,))
    losses = method.losses(batch, student.outputs, taught.outputs)
    assert set(losses) == {"ce", term}
    assert losses["ce"].item() == pytest.approx(0.3 * cross_entropy(student.logits), rel=1e-5)
    assert losses[term].item() == pytest.approx(formula(method, student, taught), rel=2e-5)


def test_plain_training_is_cross_entropy() -> None:
    student = Net(STUDENT, 1)
    info = StepInfo("train", torch.tensor(0), EPOCHS, torch.tensor(PROGRESS))
    images = torch.zeros(SAMPLES, 1, 8, 8)
    batch = Batch(images, torch.tensor(TARGETS), info, views=(images,))
    losses = SPECS["vanilla"].factory().losses(batch, student.outputs, None)
    assert {name: loss.item() for name, loss in losses.items()} == {
        "ce": pytest.approx(cross_entropy(student.logits), rel=1e-6)
    }


def test_the_methods_that_need_more_than_outputs_are_tested_elsewhere() -> None:
    """Those that do more than compare outputs have test modules of their own; a new method needs a formula here."""
    elsewhere = {"ban", "bootstrapping", "byot", "dml", "dot", "early_stopping", "meal", "meal_v2", "rona"}
    elsewhere |= {"label_smoothing", "tfkd", "pskd", "cskd", "dlb", "mean_teacher"}
    elsewhere |= {"mlkd", "crld", "funmatch", "deit", "one"}
    elsewhere |= {"catkd", "ickd", "mgd", "ofa", "semckd", "wkd_f"}
    elsewhere |= {"catkd", "ickd", "mgd", "ofa", "sdd", "semckd", "wkd_f"}
    private = {"dp_sgd", "pate"}
    embeddings = {"crd", "srrl", "rsd", "pefd", "srd", "vkd", "kdpp", "itrd", "simkd", "afd"}
    embeddings |= {"sskd", "padl2"}
    maps = {"ab", "fsp", "ft", "kdsvd", "ofd", "reviewkd"}
    maps = {"ab", "fcfd", "fsp", "ft", "kdsvd", "ofd", "reviewkd"}
    elsewhere |= {"ttm", "wttm", "nkd", "wsld", "normkd", "rld", "abkd", "soft_logits", "ctkd"}
    elsewhere |= {"eakd", "swap", "sort", "sld", "revision", "rc", "wkd_l"}
    known = {name for name, *_ in CASES.values()} | {"vanilla"} | elsewhere | private | embeddings | maps
    assert known == set(SPECS)
