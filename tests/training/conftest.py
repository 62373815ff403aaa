"""A distillation at smoke size, of untrained networks."""

import pytest
import torch

from repro.config import Student, load_students
from repro.models.wan import WanDiT
from repro.training.dmd import Distillation


@pytest.fixture
def distil(smoke, untrained):
    """Makes the distillation of a row: a student and critic alike, and a teacher that is not."""

    def copy(scale=1.0):
        model = WanDiT(untrained.config)
        model.load_state_dict(untrained.state_dict())
        with torch.no_grad():
            model.proj_out.weight.mul_(scale)
        return model

    def make(**changes):
        row = Student(**(load_students()["diagonal"].model_dump() | changes))
        return Distillation(smoke, row, copy(), copy(), copy(1.5).requires_grad_(False), "cpu")

    return make
