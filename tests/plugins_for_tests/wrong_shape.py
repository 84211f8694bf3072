"""A method that forgets to average over the batch."""

import torch.nn.functional as F

from kdharness.api import Method, MethodSpec, hookimpl


class WrongShape(Method):
    """One loss per sample, where a scalar is asked for."""

    name = "wrong_shape"

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets, reduction="none")}


@hookimpl
def kdharness_methods():
    return [MethodSpec.of(WrongShape)]
