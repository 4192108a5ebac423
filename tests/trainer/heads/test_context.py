"""The context term, and the tables of its knowledge."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prompt_bank.schema import Bank
from tests.trainer.tiny import (
    LABELS,
    bank_with_affinities,
    method_context,
    random_batch,
    random_clip,
    small_bank,
    small_knowledge,
)
from trainer.data.batches import Batch
from trainer.errors import TrainerError
from trainer.heads import context_tables as tables
from trainer.heads.context import BASE_RATE, ContextConfig, ContextTerm
from trainer.methods.base import Method
from trainer.methods.registry import build, settings_classes
from trainer.resolving import resolve

CLIP = random_clip()
FORMS = get_args(ContextConfig.model_fields["context_form"].annotation)
METHODS = [name for name, settings in settings_classes().items() if issubclass(settings, ContextConfig)]


def made(name: str, **settings: Any) -> Method:
    config = settings_classes()[name].model_validate(settings)
    return build(name, method_context(config, bank_with_affinities(), CLIP))


def term(form: str = "front-door", strength: float = 1.0, **settings: Any) -> ContextTerm:
    config = ContextConfig.model_validate(
        {"context": "bank", "context_form": form, "context_strength": strength, **settings}
    )
    knowledge = small_knowledge(config)
    assert knowledge is not None
    return ContextTerm(config, CLIP.scale, knowledge).requires_grad_(False)


def logits(seed: int = 0, labels: int = len(LABELS)) -> Tensor:
    return torch.randn(4, labels, generator=torch.Generator().manual_seed(seed))


class TestInAMethod:
    @pytest.mark.parametrize("name", METHODS)
    @pytest.mark.parametrize("form", FORMS)
    def test_strength_0_equals_no_context(self, name: str, form: str) -> None:
        batch = random_batch(CLIP)
        plain = made(name, context="none")
        with_context = made(name, context="bank", context_form=form, context_strength=0.0)
        assert torch.equal(with_context(batch), plain(batch))
        assert not torch.equal(made(name, context="bank", context_form=form)(batch), plain(batch))

    def test_training_is_unchanged_unless_strength_is_learned(self) -> None:
        batch = random_batch(CLIP)
        plain, with_context = made("fedmpt", context="none"), made("fedmpt", context="bank")
        assert torch.equal(plain.loss(batch), with_context.loss(batch))
        assert with_context.trainable() == plain.trainable()

    @pytest.mark.parametrize("form", ["front-door", "posterior", "label-graph"])
    def test_learned_strength_has_a_gradient_at_0_and_its_own_rate(self, form: str) -> None:
        batch = random_batch(CLIP)
        start: dict[str, Any] = {"context_learned": True, "context_strength": 0.0, "context_rate": 7.0}
        plain = made("fedmpt", context="none")
        method = made("fedmpt", context="bank", context_form=form, **start)
        assert method.context_term is not None
        assert torch.equal(plain.loss(batch), method.loss(batch))
        method.loss(batch).backward()
        strength = method.context_term.strength
        assert strength.grad is not None and bool((strength.grad != 0).all())
        (own,) = [group for group, parameters in method.grouped() if any(p is strength for p in parameters)]
        assert own.factor == 7.0
        assert "context_term.strength" in method.exchanged()

    def test_state_contains_the_knowledge(self) -> None:
        method = made("fedmpt", context="bank")
        assert {"context_term.values", "context_term.members", "context_term.lifts"} <= method.exchanged().keys()

    def test_term_of_some_labels_is_that_of_all(self) -> None:
        """True for forms in which labels do not depend on each other's logits."""
        chosen, batch = torch.tensor([0, 2]), random_batch(CLIP)
        one = term()
        torch.testing.assert_close(
            one(batch, logits()[:, chosen], chosen), one(batch, logits())[:, chosen], rtol=1e-5, atol=1e-6
        )

    def test_auto_is_none_without_knowledge(self) -> None:
        settings = settings_classes()["fedmpt"]()
        context = method_context(settings, bank_with_affinities(), CLIP)
        without = build("fedmpt", type(context)(**{**vars(context), "knowledge": None}))
        assert without.context_term is None
        assert torch.equal(without(random_batch(CLIP)), made("fedmpt", context="none")(random_batch(CLIP)))

    def test_settings_of_an_absent_context_are_errors(self) -> None:
        with pytest.raises(TrainerError, match=r"method.context_strength has no effect without a context"):
            resolve(overrides={"method.name": "zero-shot", "method.context_strength": 0.5})

    def test_recorded_settings_of_an_absent_context_are_read(self) -> None:
        """Runs from before the strength could be chosen recorded 0.3 and 0.7."""
        recorded = settings_classes()["zero-shot"].model_validate({"context": "none", "context_strength": 0.7})
        assert build("zero-shot", method_context(recorded, bank_with_affinities(), CLIP)).context_term is None

    def test_missing_knowledge_is_an_error(self) -> None:
        settings = settings_classes()["zero-shot"].model_validate({"context": "oracle"})
        context = method_context(settings, None, CLIP)
        with pytest.raises(TrainerError, match=r"context=oracle needs knowledge"):
            build("zero-shot", type(context)(**{**vars(context), "knowledge": None}))


class TestForms:
    def test_front_door_by_hand(self) -> None:
        batch, bank = random_batch(CLIP), bank_with_affinities()
        image = F.normalize(batch.image, dim=-1)
        expected = np.zeros((4, len(LABELS)))
        for condition in bank.conditions:
            assert condition.affinity is not None
            words = tables.encode_values(CLIP, "a photo of a {}.", list(condition.values))
            for b in range(4):
                fits = np.exp((CLIP.scale / 1.5 * image[b] @ words.T).numpy().astype(float))
                for c, label in enumerate(LABELS):
                    ratios = np.exp([float(x or 0) for x in condition.affinity.rows[label]])
                    expected[b, c] += 0.5 / len(bank.conditions) * np.log((fits / fits.sum() * ratios).sum())
        found = term(strength=0.5)(batch, logits())
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)

    def test_equal_values_add_nothing(self) -> None:
        for form in ("front-door", "posterior"):
            one = term(form)
            one.lifts.zero_()
            assert one(random_batch(CLIP), logits()).abs().max() < 1e-6

    def test_posterior_without_evidence_is_front_door(self) -> None:
        batch = random_batch(CLIP)
        found = term("posterior", context_evidence=0.0)(batch, logits())
        torch.testing.assert_close(found, term()(batch, logits()), rtol=1e-5, atol=1e-6)

    def test_posterior_excludes_a_labels_own_evidence(self) -> None:
        batch, one, evidence = random_batch(CLIP), term("posterior", context_evidence=1.0), logits()
        stronger = evidence.clone()
        stronger[:, 1] += 3
        before, after = one(batch, evidence), one(batch, stronger)
        torch.testing.assert_close(before[:, 1], after[:, 1], rtol=1e-5, atol=1e-6)
        assert (before[:, 0] - after[:, 0]).abs().min() > 0

    def test_label_graph_by_hand(self) -> None:
        one, evidence = term("label-graph", strength=0.5), logits()
        found = one(random_batch(CLIP), evidence)
        for b in range(4):
            for c in range(len(LABELS)):
                expected = sum((evidence[b, a].sigmoid() - BASE_RATE) * one.pairs[a, c] for a in range(len(LABELS)))
                torch.testing.assert_close(found[b, c], 0.5 * torch.as_tensor(expected), rtol=1e-5, atol=1e-6)

    def test_compounds_by_hand(self) -> None:
        one, batch = term("compound", context_compounds=1), random_batch(CLIP)
        table = tables.bank_table(bank_with_affinities(), LABELS, ())
        words = [value for values in table.values for value in values]
        best = [words[v] for v in np.concatenate(table.lifts).argmax(0)]
        named = [f"{label} and a {value}" for label, value in zip(LABELS, best, strict=True)]
        image = F.normalize(batch.image, dim=-1)
        together, alone = (
            image @ tables.encode_values(CLIP, "a photo of a {}.", texts).T for texts in (named, list(LABELS))
        )
        torch.testing.assert_close(one(batch, logits()), CLIP.scale / 1.5 * (together - alone), rtol=1e-4, atol=1e-5)


class TestTables:
    def test_permutation(self) -> None:
        settings = ContextConfig(context="bank", context_strength=1.0)
        table, batch = tables.bank_table(bank_with_affinities(), LABELS, ()), random_batch(CLIP)

        def added(one: tables.ContextTable) -> Tensor:
            return ContextTerm(settings, CLIP.scale, tables.to_knowledge(settings, one, CLIP, LABELS))(batch, logits())

        same, order = table.permuted(np.arange(3)), np.array([2, 0, 1])
        assert torch.equal(added(same), added(table)) and np.array_equal(same.pairs, table.pairs)
        torch.testing.assert_close(added(table.permuted(order)), added(table)[:, order])
        assert not torch.equal(added(table.permuted(order)), added(table))

    def test_label_order_is_that_of_the_data(self) -> None:
        bank, turned = bank_with_affinities(), LABELS[::-1]
        ours, theirs = tables.bank_table(bank, LABELS, ()), tables.bank_table(bank, turned, ())
        for one, other in zip((*ours.lifts, ours.pairs[::-1]), (*theirs.lifts, theirs.pairs), strict=True):
            np.testing.assert_allclose(one[:, ::-1], other)

    def test_subset_of_conditions(self) -> None:
        table = tables.bank_table(bank_with_affinities(), LABELS, ("spatial layout",))
        assert (table.conditions, table.values) == (("spatial layout",), (("day", "night", "fog"),))
        with pytest.raises(TrainerError, match="no active condition 'smell' with an affinity"):
            tables.bank_table(bank_with_affinities(), LABELS, ("smell",))

    @pytest.mark.parametrize("bank", [small_bank(), small_bank(values=("street",))])
    def test_bank_without_affinities_is_an_error(self, bank: Bank) -> None:
        with pytest.raises(TrainerError, match="no active condition with an affinity"):
            tables.bank_table(bank, LABELS, ())

    def test_oracle_needs_the_natural_world(self) -> None:
        with pytest.raises(TrainerError, match="variant=natural"):
            tables.oracle_table(None, ())

    def test_observed_lifts(self) -> None:
        """Two unambiguous values; label 0 occurs under the first only, label 1 always, label 2 is unknown."""
        images = torch.tensor([[1.0, 0.0]] * 600 + [[-1.0, 0.0]] * 400)
        labels = torch.ones(1000, 3)
        labels[600:, 0] = 0
        labels[:, 2] = -1
        found = tables.observe_lifts(
            [Batch.of(labels, images)], torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.ones(1, 2), 50.0
        )
        np.testing.assert_allclose(found.lifts[:, 1], 0, atol=1e-3)
        np.testing.assert_allclose(found.lifts[0, 0], np.log(1 / 0.6), atol=1e-2)
        assert found.lifts[1, 0] < -4
        np.testing.assert_allclose(found.lifts[:, 2], 0, atol=1e-6)
        np.testing.assert_allclose(found.pairs[0, 1], 0, atol=1e-2)
