"""FedAWA on prompts: parity with the published program, and each variant's aggregation rule in a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainer.methods.published_tensors import Published, trained_on_vit_b16
from tests.trainer.small_runs import new_run, prepared
from trainer.methods.fedawa import FedAWA, FedAwaConfig
from trainer.train import train


def test_the_released_variant_is_the_published_program() -> None:
    """Text features, logits, loss, gradients, and three steps of its optimiser."""
    published = Published(
        "fedawa", lambda hyper: FedAwaConfig(variant="released", context_tokens=hyper["n_ctx"]), {"ctx": "context"}
    )
    method, tensors = published.method, published.tensors
    assert isinstance(method, FedAWA)
    with torch.no_grad():
        torch.testing.assert_close(method.text_features(), tensors["inter.text_features"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(method(published.batch()), tensors["outputs.logits"], atol=5e-4, rtol=1e-4)
    published.check()


@pytest.mark.parametrize(("variant", "rule"), [("clean", "fedawa"), ("released", "fedawa-released")])
def test_a_run_follows_the_rule_of_its_variant(tmp_path: Path, cache: Path, variant: str, rule: str) -> None:
    """Unless another is asked for."""
    found = {}
    for name in ("auto", rule, "mean"):
        settings = {"method__name": "fedawa", "method__variant": variant, "federation__aggregation": name}
        run, config = new_run(tmp_path / name, data__sites=3, federation__rounds=1, **settings)
        train(run, prepared(config, cache))
        found[name] = run.load_checkpoint()[1]["context"]
    assert torch.equal(found["auto"], found[rule])
    assert not torch.equal(found["auto"], found["mean"])


@pytest.mark.parametrize(("variant", "count"), [("released", 2_048), ("clean", 2_050)])
def test_it_trains_as_many_numbers_as_published(variant: str, count: int) -> None:
    """The clean variant also trains scale and bias of the logit."""
    assert trained_on_vit_b16(FedAwaConfig.model_validate({"variant": variant})) == count
