"""The in-process backend with a tiny random model, which is enough to test everything but its answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.records import Question
from condition_miner.asking.asker import Asker
from condition_miner.asking.attempts import CheckedQuestion
from condition_miner.errors import MinerError
from condition_miner.model.address import IN_PROCESS, Address
from condition_miner.model.backend import BadRequest, RequestFailed
from condition_miner.model.in_process import InProcessModel, _load, model_identity
from condition_miner.model.next_tokens import NextTokens
from condition_miner.model.reading import InvalidAnswer
from condition_miner.settings import ServiceSettings
from condition_miner.stages.affinity.control import parse_cosines
from prompt_bank.recording.store import load
from tests.condition_miner.shell import Shell

TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
CONTEXT = 4096
ENDS = list(range(0, 256, 3))
"""Every third byte is an end-of-sequence token, so that random answers are short."""


def make(folder: Path, seed: int = 0, template: str | None = TEMPLATE, ends: list[int] = ENDS) -> Path:
    """A byte-level Llama of 2 layers with random weights."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={sign: i for i, sign in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    if template:
        fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=256, max_position_embeddings=CONTEXT, **sizes))
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=0)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("model") / "tiny")


def body(**change: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    return {"model": "tiny", "messages": messages, "temperature": 0.9, "seed": 1, "max_tokens": 40, **change}


def ask(folder: Path, timeout: float = 60, **change: Any) -> Any:
    async def once() -> Any:
        async with InProcessModel(str(folder), ServiceSettings(timeout=timeout)) as model:
            return await model.complete(body(**change))

    return asyncio.run(once())


def test_the_same_seed_gives_the_same_answer(model: Path) -> None:
    replies = {seed: ask(model, seed=seed) for seed in range(6)}
    assert all(ask(model, seed=seed) == reply for seed, reply in replies.items())
    assert len({reply.text for reply in replies.values()}) > 1
    assert all(reply.tokens_in == len("system: Be brief.\nuser: Hello\nassistant: ") for reply in replies.values())
    greedy = {ask(model, seed=seed, temperature=0.0).text for seed in range(3)}
    assert len(greedy) == 1


def test_an_answer_ends_or_is_truncated(model: Path, tmp_path: Path) -> None:
    assert ask(model).finish_reason == "stop"
    endless = make(tmp_path / "endless", ends=[])
    cut = ask(endless, max_tokens=7)
    assert (cut.finish_reason, cut.tokens_out) == ("length", 7)


def test_a_request_that_exceeds_the_context(model: Path) -> None:
    with pytest.raises(BadRequest, match=f"exceed the model's context of {CONTEXT}"):
        ask(model, max_tokens=CONTEXT)


def test_the_time_limit_stops_generation(tmp_path: Path) -> None:
    endless = make(tmp_path / "endless", ends=[])
    ask(endless, max_tokens=1)
    with pytest.raises(RequestFailed, match=r"no answer in 0\.05 s"):
        ask(endless, timeout=0.05, max_tokens=4000)


def test_pickled_weights_are_refused(model: Path, tmp_path: Path) -> None:
    folder = make(tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(MinerError, match="cannot be loaded"):
        ask(folder)


def test_code_in_a_model_folder_is_not_run(tmp_path: Path) -> None:
    folder = make(tmp_path / "own")
    config = folder / "config.json"
    text = config.read_text().replace(
        '"model_type": "llama"',
        '"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}',
    )
    config.write_text(text)
    (folder / "own.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\n")
    with pytest.raises(MinerError, match="cannot be loaded"):
        ask(folder)
    assert not (tmp_path / "owned").exists()


def test_a_base_model_has_no_chat_template(tmp_path: Path) -> None:
    with pytest.raises(MinerError, match="no chat template"):
        ask(make(tmp_path / "base", template=None))


def test_identity_is_the_folders_name_and_content(model: Path, tmp_path: Path) -> None:
    same, other = make(tmp_path / "a" / "tiny"), make(tmp_path / "b" / "tiny", seed=1)
    assert model_identity(str(model)) == model_identity(str(same))
    assert model_identity(str(other)) != model_identity(str(same))
    assert model_identity(str(same)).startswith("tiny@")
    assert model_identity("org/model@main") == "org/model@main"
    with pytest.raises(MinerError, match="no model's folder"):
        model_identity(str(tmp_path))


def test_cached_answers_need_no_model(model: Path, tmp_path: Path) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    question = Question("describe", IN_PROCESS, body(response_format=form), "t")
    said: list[str] = []
    for name, offline in ((str(model), False), (str(tmp_path / "gone"), True)):
        with AnswerCache(tmp_path / "cache") as cache:
            asker = Asker(cache, Address(name, IN_PROCESS), ServiceSettings(), offline, lambda *_: None)
            said.append(asker.answers([CheckedQuestion(question, check=lambda text: None)])[0].text)
            assert asker.provenance() == {"asked_by": {"words": 1}}
    assert said[0] == said[1]


def test_the_command(shell: Shell, model: Path) -> None:
    """The whole command; a random model gives no valid answer."""
    words = ("--backend", "transformers", "--combinations", "1", "--max-tokens", "20")
    done = shell.mine(None, *words, "--model", str(model))
    assert done.code == 1
    assert "no valid answer in 5 attempts" in done.err
    done = shell.mine(None, *words)
    assert done.code == 2
    assert "--backend transformers needs --model" in done.err
    done = shell.mine(None, *words, "--model", str(shell.folder))
    assert done.code == 2
    assert "no config.json" in done.err


def log_probabilities(folder: Path, prompt: str) -> torch.Tensor:
    """Of the token behind a prompt, by the whole model and the whole prompt."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    made = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)(**tokenizer(prompt, return_tensors="pt"))
    return torch.log_softmax(made.logits[0, -1].detach(), -1)


@pytest.mark.parametrize("prompts", [["one"], ["a cat on", "a sofa on", "a cat", "a c", "a cat on"], ["x", "y", "xy"]])
def test_next_tokens_are_those_of_each_prompt_alone(
    model: Path, prompts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though what they share is run once, and prompts of equal length together."""
    monkeypatch.setattr("condition_miner.model.in_process._cpu_precision", lambda: "float32")
    _load.cache_clear()  # it may be there at another precision
    top = 5
    asked = {"model": "tiny", "prompt": prompts, "max_tokens": 1, "temperature": 0.0, "logprobs": top}

    async def once() -> Any:
        async with InProcessModel(str(model), ServiceSettings()) as running:
            return await running.complete(asked)

    found = NextTokens.parse(asyncio.run(once()).text, len(prompts))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    texts = [tokenizer.convert_tokens_to_string([tokenizer.convert_ids_to_tokens(i)]) for i in range(256)]
    alone = [log_probabilities(model, prompt) for prompt in prompts]
    expected = {texts[i] for row in alone for i in row.topk(top).indices.tolist()}
    assert set(found.tokens) == expected
    for row, numbers in zip(alone, found.rows, strict=True):
        of_text = {texts[i]: float(row[i]) for i in reversed(range(256))}
        for token, number in zip(found.tokens, numbers, strict=True):
            if token != "\ufffd":  # the text of many a byte
                assert number == pytest.approx(of_text[token], abs=0.01)


def test_the_control_compares_the_last_states(model: Path) -> None:
    """Against the whole model, prompt by prompt."""
    prompts = ["A photo of a cat", "A photo of a dog", "A photo of a sofa", "A photo of an ox"]

    async def once() -> Any:
        async with InProcessModel(str(model), ServiceSettings()) as running:
            return await running.complete({"model": "tiny", "prompt": prompts, "cosines": True})

    found = parse_cosines(asyncio.run(once()).text, 4)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    whole = LlamaForCausalLM.from_pretrained(model, dtype=torch.float32).model
    states = torch.stack(
        [whole(**tokenizer(p, return_tensors="pt")).last_hidden_state[0, -1].detach() for p in prompts]
    )
    unit = torch.nn.functional.normalize(states - states.mean(0), dim=1)
    assert np.allclose(found, unit @ unit.T, atol=0.05)
    with pytest.raises(InvalidAnswer, match="3 × 3"):
        parse_cosines("[[1]]", 3)


def test_a_base_model_gives_affinities(shell: Shell, tmp_path: Path) -> None:
    """It has no chat template, and needs none; a random model tells nothing, so the numbers mean nothing."""
    base = make(tmp_path / "base", template=None)
    words = ("--backend", "transformers", "--model", str(base), "--stages", "affinities")
    plan = shell.mine(None, *words, "--dry-run")
    assert plan.code == 0 and "next-token" in plan.out
    done = shell.mine(None, *words)
    assert done.code == 0, done.err
    assert done.err.count("no answer tells the labels apart") == 5, "its tokens are bytes, no words"
    assert "0 requests sent" in shell.mine(None, *words).out
    stored = load(shell.folder / "bank.json").bank.provenance.control
    assert stored and list(stored.rows) == ["cat", "sofa", "person", "bus"]
