"""A method's declarations: exchanged and personal state, parameter groups, extra loss."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from tests.trainer.personal import Adapted
from tests.trainer.tiny import LABELS, method_context, random_batch, random_clip
from trainer.data.batches import Batch
from trainer.errors import TrainerError
from trainer.methods.base import MethodContext
from trainer.methods.coop import CoOp, CoOpConfig
from trainer.methods.federated import ParameterGroup

CLIP = random_clip()

TRAINED = {"context", "logit.scale", "logit.bias", "norm.weight", "norm.bias"}
STATISTICS = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
OWN_STATISTICS = {f"own_{name}" for name in STATISTICS}


def context() -> MethodContext:
    return method_context(CoOpConfig(context_tokens=2), clip=CLIP)


def stepped(method: CoOp) -> CoOp:
    """After a training step that moves every parameter and every statistic."""
    method.train()
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=1.0)
    method.loss(random_batch(CLIP)).backward()
    optimiser.step()
    return method


def test_by_default_trainable_parameters_are_exchanged_and_nothing_is_personal() -> None:
    method = CoOp(context())
    assert set(method.exchanged()) == {"context", "logit.scale", "logit.bias"}
    assert method.personal_parts() == {}
    assert [(set(group.names), len(parameters)) for group, parameters in method.grouped()] == [
        ({"context", "logit.scale", "logit.bias"}, 3)
    ]
    assert method.aggregation == "mean"


def test_named_buffers_are_exchanged_and_personal_parts_are_not() -> None:
    method = Adapted(context())
    assert set(method.exchanged()) == TRAINED | STATISTICS
    assert set(method.personal_parts()) == {"shift"} | OWN_STATISTICS
    assert method.trainable() == sum(p.numel() for p in method.parameters() if p.requires_grad)


def test_a_client_and_the_global_model_from_one_state() -> None:
    """A client's parts on request; else those that clients start from, whatever was trained in between."""
    method = Adapted(context())
    server, start = method.exchanged(), method.personal_parts()
    method.receive(server)
    stepped(method)
    trained, own = method.exchanged(), method.personal_parts()
    assert all(not torch.equal(trained[name], server[name]) for name in server)
    assert all(not torch.equal(own[name], start[name]) for name in start)
    method.receive(server)
    torch.testing.assert_close((method.exchanged(), method.personal_parts()), (server, start), atol=0, rtol=0)
    method.receive(trained, own)
    torch.testing.assert_close((method.exchanged(), method.personal_parts()), (trained, own), atol=0, rtol=0)
    other = Adapted(method_context(CoOpConfig(context_tokens=2), clip=CLIP))
    other.personal_start = own
    other.receive(trained)
    torch.testing.assert_close(other.personal_parts(), own, atol=0, rtol=0)


def test_a_strange_state_changes_nothing() -> None:
    method = Adapted(context())
    server, start = method.exchanged(), method.personal_parts()
    changed = {name: value + 1 for name, value in server.items()}
    with pytest.raises(ValueError, match=r"shift: \(3,\) instead of"):
        method.receive(changed, {**start, "shift": torch.zeros(3)})
    with pytest.raises(ValueError, match="this method keeps"):
        method.receive(changed, {})
    with pytest.raises(ValueError, match="this method exchanges"):
        method.receive({**changed, **start})
    with pytest.raises(ValueError, match="this method keeps"):
        method.personal_start = {}
    torch.testing.assert_close((method.exchanged(), method.personal_parts()), (server, start), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (r"Wrong.exchanged_buffers names 'nrom', which is not there", {"exchanged_buffers": ("nrom",)}),
        (r"Wrong.personal names 'context.x', which is not there", {"personal": ("context.x",)}),
        (r"Wrong: own_norm.running_mean is both personal and exchanged", {"exchanged_buffers": ("norm", "own_norm")}),
    ],
)
def test_names_that_cannot_be_are_named(said: str, wrong: dict[str, tuple[str, ...]]) -> None:
    method = type("Wrong", (Adapted,), wrong)(context())
    with pytest.raises(TrainerError, match=said):
        method.exchanged()


def test_groups_hold_each_parameter_once() -> None:
    class Grouped(Adapted):
        groups: ClassVar[tuple[ParameterGroup, ...]] = (ParameterGroup(("logit",)), ParameterGroup(("norm.weight",)))

        def parameter_groups(self) -> list[ParameterGroup]:
            return list(self.groups)

    method = Grouped(context())
    names = {id(parameter): name for name, parameter in method.named_parameters()}
    found = [{names[id(parameter)] for parameter in parameters} for _, parameters in method.grouped()]
    assert found == [{"context", "norm.bias", "shift"}, {"logit.scale", "logit.bias"}, {"norm.weight"}]
    Grouped.groups = (ParameterGroup(("norm",)), ParameterGroup(("norm.weight",)))
    with pytest.raises(TrainerError, match=r"parameter_groups names 'norm.weight', which is not there or is named"):
        method.grouped()


class Extra(CoOp):
    """Adds three times the mean logit of the labels that training sees."""

    def extra_loss(self, batch: Batch, text: Tensor, logits: Tensor) -> Tensor:
        """A scalar."""
        assert batch.labels.shape == logits.shape
        assert text.shape[-2] == logits.shape[-1]
        return 3 * logits.mean()


@pytest.mark.parametrize("seen", [None, (0, 2)])
def test_the_extra_loss_is_added_as_it_stands(seen: tuple[int, ...] | None) -> None:
    """Also to its gradient, and of the seen labels alone."""
    settings = MethodContext(**{**vars(context()), "seen": seen})
    plain, extra = CoOp(settings), Extra(settings)
    extra.receive(plain.exchanged())
    batch = random_batch(CLIP)
    columns = list(seen or range(len(LABELS)))
    term = 3 * plain.logits(batch, plain.text_features())[:, columns].mean()
    loss = plain.loss(batch)
    torch.testing.assert_close(extra.loss(batch), loss + term)
    (loss + term).backward()
    extra.loss(batch).backward()
    torch.testing.assert_close(extra.context.grad, plain.context.grad, atol=1e-4, rtol=1e-3)
