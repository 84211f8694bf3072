"""How sure a finished cell and its teacher are of the labels of candidates, members or not.

The confidence is that of Carlini, Chien, Nasr, Song, Terzis, Tramer, "Membership Inference Attacks From First
Principles", S&P 2022, equation 4: log(p / (1 - p)) for the probability p of the label, which is about normal over
networks where p itself is not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdharness.device.checksum import Balance
from kdharness.measure.evaluate import predict_together
from kdharness.measure.metrics import teacher_logits
from kdharness.measure.subject import Subject
from kdharness.planning.cell import TEACHER
from kdharness.results.audits import Audit

SPLIT = "candidates"


def audit_of(subject: Subject) -> Audit | None:
    """None for teachers, and where the scenario has no candidates."""
    data = subject.data
    if SPLIT not in data.subsets or subject.cell.role == TEACHER:
        return None
    images, rows, targets = data.split(SPLIT)
    outputs = predict_together([subject], images, rows, Balance())[0]
    if isinstance(outputs, Exception):
        raise outputs
    taught = teacher_logits(subject, SPLIT)
    labels, chosen = targets.cpu(), data.host.indices[SPLIT]
    return Audit(
        candidates=chosen,
        members=data.host.hidden["private"][chosen],
        canaries=data.host.hidden["canary"][chosen],
        confidence=confidence(next(iter(outputs.values())).cpu(), labels).numpy(),
        teacher_confidence=None if taught is None else confidence(taught.cpu(), labels).numpy(),
    )


def confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """float64 [n] of logits [n, classes]: that of the label less the logarithm of the sum of the others' exponentials,
    which is finite however sure a network is.
    """
    values, column = logits.double(), labels[:, None]
    others = values.scatter(1, column, -torch.inf)
    return values.gather(1, column)[:, 0] - others.logsumexp(1)
