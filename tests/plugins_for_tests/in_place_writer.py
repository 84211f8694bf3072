"""A method that changes what all cells of its group share."""

import torch.nn.functional as F

from kdharness.api import Method, MethodSpec, hookimpl


class InPlaceWriter(Method):
    """Writes into the images of the batch."""

    name = "in_place_writer"

    def losses(self, batch, student, teacher):
        batch.images.mul_(0)
        return {"ce": F.cross_entropy(student.logits, batch.targets)}


@hookimpl
def kdharness_methods():
    return [MethodSpec.of(InPlaceWriter)]
