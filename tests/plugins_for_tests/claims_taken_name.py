"""A method that takes the name of a built-in."""

import torch.nn.functional as F

from kdharness.api import Method, MethodSpec, hookimpl


class Usurper(Method):
    """Labels alone, under the name of another."""

    name = "kd"

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}


@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Usurper)]
