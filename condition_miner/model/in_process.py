"""The backend that runs a transformers model in this process: needs no server, but answers one request at a time."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from condition_miner.answers.records import canonical_json
from condition_miner.errors import MinerError
from condition_miner.model.backend import BadRequest, Reply, RequestFailed
from condition_miner.settings import ServiceSettings

COSINE_DIGITS = 4
"""Decimals of a cosine that are kept."""
_MODEL_FILES = (".json", ".safetensors", ".jinja", ".model", ".txt")
"""Suffixes of the files in a model folder on which its answers depend."""


class InProcessModel:
    """A model of the transformers library, loaded at the first request. An async context manager.

    Weights are read from safetensors only, and code in a model repository is never run.

    Args:
        name: a folder, or a model name on the hub, optionally followed by "@revision".
        service: time limit of a request.
    """

    def __init__(self, name: str, service: ServiceSettings) -> None:
        self._name = name
        self._seconds = service.timeout
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to close."""

    async def models(self) -> list[str]:
        """The identity of this model, alone."""
        return [model_identity(self._name)]

    async def complete(self, body: dict[str, Any]) -> Reply:
        """Answer one request: a chat, or the next tokens of prompts (next_tokens.py).

        The same body gives the same answer on the same machine.

        Raises:
            BadRequest: the request exceeds the model's context.
            RequestFailed: it exceeded the time limit.
            MinerError: the model cannot be loaded, or has no chat template.
        """
        async with self._lock:
            stop = threading.Event()
            try:
                if "prompt" in body:
                    return await asyncio.to_thread(_next_tokens, self._name, body, stop)
                return await asyncio.to_thread(_generate, self._name, body, self._seconds, stop)
            finally:
                stop.set()  # if this task was cancelled, the thread must end too


def model_identity(name: str) -> str:
    """The identity of a model in cache keys and banks: its hub name, or a folder's name with a hash of its files.

    Raises:
        MinerError: the folder has no model.
    """
    folder = Path(name)
    if not folder.is_dir():
        return name
    files = sorted(path for path in folder.iterdir() if path.suffix in _MODEL_FILES and path.is_file())
    if not any(path.name == "config.json" for path in files):
        raise MinerError(f"{folder}: there is no config.json, so this is no model's folder")
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return f"{folder.resolve().name}@{digest.hexdigest()[:12]}"


@lru_cache(maxsize=1)
def _load(name: str) -> tuple[Any, Any]:
    """Tokenizer and model, on the GPU if there is one."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import get_available_devices, logging

    logging.disable_progress_bar()
    where, _, revision = name.partition("@") if not Path(name).is_dir() else (name, "", "")
    options: dict[str, Any] = {"trust_remote_code": False, **({"revision": revision} if revision else {})}
    device = next(each for each in ("cuda", "xpu", "mps", "cpu") if each in get_available_devices())
    kind = _cpu_precision() if device == "cpu" else "auto"
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **options)
        model = AutoModelForCausalLM.from_pretrained(where, use_safetensors=True, dtype=kind, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise MinerError(f"--model {name}: cannot be loaded ({said[:300]})") from error
    return tokenizer, model.to(device).eval().requires_grad_(False)


def _cpu_precision() -> str:
    """Most processors are slow at half precision; those that multiply bfloat16 are over three times as fast at it."""
    told = Path("/proc/cpuinfo")
    flags = told.read_text(encoding="utf-8", errors="replace").split() if told.exists() else []
    return "bfloat16" if {"avx512_bf16", "amx_bf16", "bf16"} & set(flags) else "float32"


def _next_tokens(name: str, body: dict[str, Any], stop: threading.Event) -> Reply:
    from condition_miner.model.scoring import cosines, next_tokens

    prompts = [body["prompt"]] if isinstance(body["prompt"], str) else body["prompt"]
    if body.get("cosines"):
        alike, into = cosines(*_load(name), prompts, stop)
        return Reply(canonical_json([[round(x, COSINE_DIGITS) for x in row] for row in alike]), "stop", into, 0)
    found, into = next_tokens(*_load(name), prompts, body["logprobs"], stop)
    return Reply(found.text(), "stop", into, len(prompts))


def _generate(name: str, body: dict[str, Any], seconds: float, stop: threading.Event) -> Reply:
    from transformers import GenerationConfig, StoppingCriteriaList, set_seed

    tokenizer, model = _load(name)
    if not tokenizer.chat_template:
        raise MinerError(f"--model {name}: has no chat template; take a model that was trained to answer (-Instruct)")
    inputs = tokenizer.apply_chat_template(
        body["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
    ).to(model.device)
    into = int(inputs["input_ids"].shape[1])
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and into + body["max_tokens"] > longest:
        raise BadRequest(f"{into} tokens and {body['max_tokens']} of room exceed the model's context of {longest}")
    own = model.generation_config
    sampled = {"do_sample": True, "temperature": body["temperature"], "top_k": 0, "top_p": 1.0}
    config = GenerationConfig(
        max_new_tokens=body["max_tokens"],
        eos_token_id=own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id,
        pad_token_id=own.pad_token_id if own.pad_token_id is not None else tokenizer.eos_token_id,
        **(sampled if body["temperature"] > 0 else {"do_sample": False}),
    )
    until = time.monotonic() + seconds

    def over(tokens: Any, scores: Any, **_: Any) -> Any:
        all_of_them = tokens[:, 0] == tokens[:, 0]
        return all_of_them if stop.is_set() or time.monotonic() > until else ~all_of_them

    set_seed(body["seed"])
    made = model.generate(**inputs, generation_config=config, stopping_criteria=StoppingCriteriaList([over]))
    tokens = made[0, into:].tolist()
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    if not tokens or (tokens[-1] not in ends and len(tokens) < body["max_tokens"]):
        raise RequestFailed(f"no answer in {seconds:g} s (--timeout)")
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    return Reply(text, "stop" if tokens[-1] in ends else "length", into, len(tokens))
