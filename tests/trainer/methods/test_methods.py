"""FedMPT, CoOp and zero-shot CLIP by identities, such as those that hold when a setting turns a part off."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.trainer.tiny import LABELS, method_context, random_batch, random_clip, small_bank
from trainer.errors import TrainerError
from trainer.methods.coop import CoOpConfig
from trainer.methods.fedmpt import FedMPT, FedMptConfig
from trainer.methods.registry import build
from trainer.methods.zero_shot import ZeroShotConfig

CLIP = random_clip()


def fedmpt(**settings: Any) -> FedMPT:
    method = build("fedmpt", method_context(FedMptConfig(**{"context": "none", **settings}), small_bank(), CLIP))
    assert isinstance(method, FedMPT)
    return method


def test_it_starts_as_clip() -> None:
    """Adapters change nothing, and the gate weighs all conditions alike."""
    method, batch = fedmpt(), random_batch(CLIP)
    text = method.text_features()
    expected = F.normalize(batch.patches, dim=-1)[:, None] @ text.mT
    torch.testing.assert_close(method.similarities(batch.patches, text), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(method.gate(batch.image), torch.full((4, 2), 0.5))


def test_similarities_are_those_of_adapted_patches() -> None:
    """As METHOD.md §3 writes it: every condition's patches in full, normalised; and the same gradients."""
    method, batch = fedmpt(), random_batch(CLIP)
    torch.nn.init.normal_(method.adapter_up, std=0.3, generator=torch.Generator().manual_seed(1))
    text = method.text_features().detach()
    low = torch.einsum("bmd,nrd->bnmr", batch.patches, method.adapter_down)
    adapted = batch.patches[:, None] + torch.einsum("bnmr,ndr->bnmd", low, method.adapter_up)
    expected = F.normalize(adapted, dim=-1) @ text.mT
    found = method.similarities(batch.patches, text)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    parameters = (method.adapter_down, method.adapter_up)
    wanted = torch.autograd.grad(expected.square().sum(), parameters)
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), parameters), wanted, atol=1e-5, rtol=1e-4)


def test_prompts_are_those_of_the_specification() -> None:
    """[SOS] u u u ⟨condition⟩ w w ⟨label⟩ . [EOT], through the plain encoding of all 77 positions."""
    method = fedmpt()
    text = method.text_features()
    for n, condition in enumerate(("background", "spatial layout")):
        for c, label in enumerate(LABELS):
            ids = [*CLIP.token_ids(f"{label}."), CLIP.tokenizer.eot_token_id]
            row = torch.cat(
                [
                    CLIP.embed([CLIP.tokenizer.sot_token_id]),
                    method.condition_tokens[n],
                    CLIP.embed(CLIP.token_ids(condition)),
                    method.class_tokens,
                    CLIP.embed(ids),
                ]
            )
            end = len(row) - 1
            padded = torch.cat([row, CLIP.embed([0]).expand(77 - len(row), -1)])
            expected = F.normalize(CLIP.encode_tokens(padded[None], torch.tensor([end])), dim=-1)[0]
            torch.testing.assert_close(text[n, c], expected, atol=1e-5, rtol=1e-4)


def test_the_transport_is_diagnosed() -> None:
    batch = random_batch(CLIP)
    few, many = (fedmpt(matching="transport", iterations=n, temperature=0.01).diagnose(batch) for n in (1, 200))
    assert few["converged"] < many["converged"] == 1.0
    assert many["marginal_error"] <= many["largest_marginal_error"] < 1e-3 < few["largest_marginal_error"]
    early = fedmpt(matching="transport", iterations=200, stop="marginal").diagnose(batch)
    assert early["converged"] == 1.0
    assert early["iterations"] < 200 == many["iterations"]
    assert fedmpt(matching="softmax").diagnose(batch) == {}


def test_the_background_starts_at_the_values() -> None:
    """Those that name a label are left out; the irrelevant control has words of its own."""
    bank = small_bank(values=("street", "park", "cat, sofa"))
    settings = FedMptConfig(matching="shares", background="values")
    method = build("fedmpt", method_context(settings, bank, CLIP))
    assert method.describe()["background"] == ["street", "park"]
    words = [f"a photo of a {word}." for word in ("street", "park")]
    torch.testing.assert_close(method.exchanged()["background"], F.normalize(CLIP.encode_texts(words), dim=-1))
    other = build("fedmpt", method_context(settings.model_copy(update={"conditions": "irrelevant"}), bank, CLIP))
    assert other.describe()["background"][0] == "interest rate"
    for nothing in (small_bank(), bank):
        kind = "bank" if nothing is not bank else "empty"
        with pytest.raises(TrainerError, match="the bank has none"):
            build("fedmpt", method_context(settings.model_copy(update={"conditions": kind}), nothing, CLIP))


def test_a_background_belongs_to_shares() -> None:
    with pytest.raises(ValueError, match="is for matching=shares"):
        FedMptConfig(matching="softmax", background="learned")


def test_the_image_feature_stands_for_all_patches() -> None:
    """matching = "image": ψ is the cosine of the adapted image feature."""
    method, batch = fedmpt(matching="image", gate=False), random_batch(CLIP)
    text = method.text_features()
    expected = method.similarities(batch.image[:, None], text)[:, :, 0]
    torch.testing.assert_close(method.explain(batch, text)[0].scores, expected)
    torch.testing.assert_close(method.logits(batch, text), method.logit(expected.mean(1)))
    assert method.evidence(batch, text).places is None


@pytest.mark.parametrize(
    "settings",
    [
        {"matching": "transport"},
        {"matching": "softmax"},
        {"matching": "image"},
        {"matching": "shares", "background": "learned"},
    ],
    ids=lambda settings: settings["matching"],
)
def test_training_moves_every_exchanged_parameter(settings: Any) -> None:
    method, batch = fedmpt(**settings), random_batch(CLIP)
    optimiser = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    before = method.exchanged()
    # Two steps: a factor whose partner starts at zero has its first gradient in the second.
    for _ in range(2):
        optimiser.zero_grad()
        method.loss(batch).backward()
        optimiser.step()
    after = method.exchanged()
    assert set(before) == {
        *("condition_tokens", "class_tokens", "adapter_down", "adapter_up", "gate_down", "gate_up"),
        *("logit.scale", "logit.bias"),
        *(("background",) if "background" in settings else ()),
    }
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_parameters_are_counted_as_the_paper_does() -> None:
    """VOC, ViT-B/16: u 5·5·512, w 7·512, adapters and gate 2·5·32·512 + 32·512 + 5·32, α and β0: about 0.2 M.

    The paper says 0.80 M; what else it counts is not in it.
    """
    method = fedmpt()
    n, dt, d, rank = 2, 32, 24, 32
    expected = n * 3 * dt + 2 * dt + 2 * n * rank * d + rank * d + n * rank + 2
    assert method.trainable() == expected


@pytest.mark.parametrize(
    ("kind", "conditions"), [("single", ("",)), ("empty", ("", "")), ("irrelevant", ("interest rate", "grammar"))]
)
def test_controls_change_the_words_alone(kind: Any, conditions: tuple[str, ...]) -> None:
    method = fedmpt(conditions=kind)
    assert method.prompts.conditions == conditions
    assert method(random_batch(CLIP)).shape == (4, 3)


def test_switches_of_the_ablation() -> None:
    plain = fedmpt(adapters=False, gate=False)
    assert set(plain.exchanged()) == {"condition_tokens", "class_tokens", "logit.scale", "logit.bias"}
    assert plain(random_batch(CLIP)).shape == (4, 3)


def test_without_learnable_prompts_text_is_clips_own() -> None:
    """ "background cat." and so on through the plain encoding; nothing of the text is exchanged."""
    method = fedmpt(prompts=False)
    assert set(method.exchanged()) == {
        *("adapter_down", "adapter_up", "gate_down", "gate_up", "logit.scale", "logit.bias"),
    }
    for n, condition in enumerate(("background", "spatial layout")):
        sentences = [f"{condition} {label}." for label in LABELS]
        expected = F.normalize(CLIP.encode_texts(sentences), dim=-1)
        torch.testing.assert_close(method.text_features()[n], expected, atol=1e-5, rtol=1e-4)
    method.loss(random_batch(CLIP)).backward()
    assert method.adapter_up.grad is not None
    assert method.describe()["prompts"][0] == "background cat."


def test_evaluation_encodes_the_text_once() -> None:
    method, batch = fedmpt(), random_batch(CLIP)
    expected = method(batch).detach()
    with method.evaluating():
        first = method(batch)
        with torch.no_grad():
            method.class_tokens.mul_(0)
        second = method(batch)
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(second, expected)
    assert not torch.allclose(method(batch), expected)


def test_accepted_conditions_are_used_before_proposed_ones() -> None:
    bank = small_bank()
    chosen = bank.conditions[1].model_copy(update={"status": "accepted"})
    bank = bank.model_copy(update={"conditions": (bank.conditions[0], chosen)})
    method = build("fedmpt", method_context(FedMptConfig(), bank, CLIP))
    assert method.describe()["conditions"] == ["spatial layout"]
    assert method.describe()["conditions_are"] == "accepted"


def test_zero_shot_is_the_cosine_to_a_sentence() -> None:
    method, batch = build("zero-shot", method_context(ZeroShotConfig(), clip=CLIP)), random_batch(CLIP)
    text = F.normalize(CLIP.encode_texts([f"a photo of a {name}." for name in LABELS]), dim=-1)
    cosine = (F.normalize(batch.patches, dim=-1) @ text.T).amax(1)
    torch.testing.assert_close(method(batch), 20 * (cosine - 0.25))
    assert method.trainable() == 0


def test_coop_shares_one_context() -> None:
    method = build("coop", method_context(CoOpConfig(context_tokens=4), clip=CLIP))
    assert {name: tuple(v.shape) for name, v in method.exchanged().items()} == {
        "context": (4, 32),
        "logit.scale": (),
        "logit.bias": (),
    }
    method.loss(random_batch(CLIP)).backward()
    assert method.get_parameter("context").grad is not None


class TestErrors:
    def test_no_bank(self) -> None:
        with pytest.raises(TrainerError, match="needs a prompt bank"):
            build("fedmpt", method_context(FedMptConfig(), None, CLIP))

    def test_other_labels(self) -> None:
        with pytest.raises(TrainerError, match="lacks person; the data has no dog"):
            build("fedmpt", method_context(FedMptConfig(), small_bank(labels=("cat", "dining table", "dog")), CLIP))

    def test_too_long_a_prompt(self) -> None:
        bank = small_bank(conditions=("very " * 19 + "far",))
        prompt = bank.prompt.model_copy(update={"condition_tokens": 55})
        with pytest.raises(TrainerError, match=r"condition 'very .*' and label 'dining table' has 7\d|8\d tokens"):
            build("fedmpt", method_context(FedMptConfig(), bank.model_copy(update={"prompt": prompt}), CLIP))

    def test_unknown_method(self) -> None:
        with pytest.raises(TrainerError, match="'fedmppt' is not known; there are: fedmpt"):
            build("fedmppt", method_context(FedMptConfig(), small_bank(), CLIP))

    def test_a_strange_state(self) -> None:
        method = fedmpt()
        state = method.exchanged()
        with pytest.raises(ValueError, match="class_tokens"):
            method.receive({**state, "class_tokens": torch.zeros(1)})
        del state["class_tokens"]
        with pytest.raises(ValueError, match="exchanges"):
            method.receive(state)
