"""A method that uses all declarations: personal parameters, a parameter group, and exchanged buffers."""

from __future__ import annotations

from torch import Tensor, nn

from trainer.data.batches import Batch
from trainer.methods.base import MethodContext, normal
from trainer.methods.coop import CoOp
from trainer.methods.federated import ParameterGroup


class Adapted(CoOp):
    """CoOp whose image features pass a batch norm, whose statistics travel, and a shift that stays with the client."""

    exchanged_buffers = ("norm",)
    personal = ("shift", "own_norm")

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        self.norm = nn.BatchNorm1d(self.clip.dim)
        self.own_norm = nn.BatchNorm1d(self.clip.dim, affine=False)
        self.shift = normal((self.clip.dim,), context.generator)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The norm is trained at a tenth of the rate."""
        return [ParameterGroup(("norm",), factor=0.1, weight_decay=0.0)]

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C)"""
        image = self.own_norm(self.norm(batch.image)) + self.shift
        return super().logits(batch._replace(image=image), text)
