"""Cost of a FedMPT training step, compared with a straightforward implementation.

    python benchmarks/step_time.py [--labels 20 80] [--batch 8] [--steps 3]

Forward, backward and update on ViT-B/16 with random weights, N = 5 conditions, on the CPU.
plain:     every prompt over all 77 positions, adapted patches materialised, the image encoder run in each step.
ours:      shared prefixes, truncated suffixes, adapters folded into the dot products, cached features.
no cache:  ours, with the image encoder run in each step.
chunks:    ours, 100 prompts at once, with activations recomputed in the backward pass.
Each runs in its own process, whose peak memory is printed; times are processor seconds of the fastest step. The first
losses and gradients are compared with the plain ones.

The plain step needs about 40 MB per prompt. If there is less memory, its text tower runs forward and backward one
condition at a time, and the rest of the step on the result: the same work in the same time, but only the loss can be
compared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

import prompt_bank
from prompt_bank.schema import Bank, Condition, Label
from trainer.backbone.clip import FrozenClip, Preprocess
from trainer.config.sections import LossConfig
from trainer.data.batches import Batch
from trainer.methods.base import Method, MethodContext
from trainer.methods.fedmpt import FedMPT, FedMptConfig
from trainer.methods.registry import build

CONDITIONS = ("background", "lighting", "pose", "spatial layout", "object scale")
BACKBONE = "ViT-B-16-quickgelu"
VARIANTS = ("ours", "no cache", "chunks", "plain")
PROMPT_BYTES = 45e6
"""Activation memory of a prompt of 77 positions in ViT-B/16's text tower, with a margin."""


class PlainFedMPT(FedMPT):
    """FedMPT without shared prefixes, and with the adapted patches materialised."""

    def similarities(self, patches: Tensor, text: Tensor) -> Tensor:
        """s: (B, N, M, C), of V_n = normalise(V + W_up W_down V)."""
        low = torch.einsum("bmd,nrd->bnmr", patches, self.adapter_down)
        adapted = patches[:, None] + torch.einsum("bnmr,ndr->bnmd", low, self.adapter_up)
        return F.normalize(adapted, dim=-1) @ text.mT

    def text_features(self) -> Tensor:
        """T: (N, C, D), every prompt through all positions of the context."""
        return F.normalize(torch.stack(self._plain(self.condition_tokens)), dim=-1)

    def _plain(self, condition_tokens: Tensor) -> list[Tensor]:
        features = []
        for prefix in self.prompts.prefixes(condition_tokens, self.class_tokens):
            suffixes = self.prompts.suffixes
            count, width = suffixes.embedded.shape[0], prefix.shape[1]
            rest = self.clip.context_length - len(prefix) - suffixes.embedded.shape[1]
            whole = [prefix.expand(count, -1, -1), suffixes.embedded, torch.zeros(count, rest, width)]
            features.append(self.clip.encode_tokens(torch.cat(whole, dim=1), len(prefix) + suffixes.eot))
        return features


class ByCondition(PlainFedMPT):
    """The plain step's work with one condition's prompts in memory at a time; its gradients are not the real ones."""

    def text_features(self) -> Tensor:
        """T: (N, C, D), after a backward pass of each condition on its own."""
        whole = self.prompts
        features = []
        for index, words in enumerate(whole.words):
            self.prompts = replace(whole, words=(words,))
            tokens = self.condition_tokens[index : index + 1]
            (part,) = self._plain(tokens)
            part.backward(torch.ones_like(part))
            features.append(part.detach())
        self.prompts = whole
        return F.normalize(torch.stack(features), dim=-1)


def label_names(count: int) -> tuple[str, ...]:
    """The first `count` label names of COCO."""
    lines = (Path(prompt_bank.__path__[0]) / "banks" / "coco80.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.split(",")[0].strip() for line in lines if line.strip() and not line.startswith("#"))[:count]


def make(kind: type[FedMPT], clip: FrozenClip, names: tuple[str, ...], chunk: int | None = None) -> FedMPT:
    """A method with the same parameters for every class."""
    bank = Bank(
        name="benchmark",
        labels=tuple(Label(name=name) for name in names),
        conditions=tuple(Condition(id=f"c{i}", text=text) for i, text in enumerate(CONDITIONS)),
    )
    generator, settings = torch.Generator().manual_seed(0), FedMptConfig(matching="transport")
    context = MethodContext(clip, names, bank, settings, LossConfig(), generator, text_chunk=chunk)
    method = build("fedmpt", context)
    assert isinstance(method, FedMPT)
    method.__class__ = kind
    return method


def timed(method: Method, batch: Callable[[], Batch], steps: int) -> tuple[float, dict[str, Tensor]]:
    """Processor seconds of the fastest of several steps, and the first step's loss and gradients."""
    parameters = {n: p for n, p in method.named_parameters() if p.requires_grad}
    optimiser = torch.optim.SGD(parameters.values(), lr=1e-3, momentum=0.9)
    seconds: list[float] = []
    first: dict[str, Tensor] = {}
    for _ in range(steps):
        began = time.process_time()
        optimiser.zero_grad()
        loss = method.loss(batch())
        loss.backward()
        if not first:
            first = {"loss": loss.detach(), **{n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}}
        optimiser.step()
        seconds.append(time.process_time() - began)
    return min(seconds), first


def available() -> int:
    """Free memory in bytes."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def measure(variant: str, labels: int, images: int, steps: int, threads: int, out: Path) -> None:
    """Print a variant's time and peak memory as JSON, and write its first loss and gradients to a file."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = open_clip.create_model(BACKBONE, pretrained=None, load_weights=False)
    preprocess = Preprocess(224, (0.5, 0.5, 0.5), (0.28, 0.28, 0.28))
    clip = FrozenClip(model, open_clip.get_tokenizer(BACKBONE), preprocess, BACKBONE)
    names = label_names(labels)
    pixels = torch.randn(images, 3, 224, 224)
    truth = (torch.rand(images, len(names)) < 0.2).float()
    cached = Batch(*clip.encode_image(pixels), truth)
    kind: type[FedMPT] = FedMPT
    if variant == "plain":
        kind = PlainFedMPT if available() > PROMPT_BYTES * len(CONDITIONS) * labels else ByCondition
    method = make(kind, clip, names, 100 if variant == "chunks" else None)

    def batch() -> Batch:
        return Batch(*clip.encode_image(pixels), truth) if variant in ("plain", "no cache") else cached

    seconds, first = timed(method, batch, steps)
    if kind is ByCondition:
        first = {"loss": first["loss"]}
    save_file({name: value.contiguous() for name, value in first.items()}, out)
    print(json.dumps({"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> None:
    """Print time, peak memory and agreement of every variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 80])
    for name, value in (("batch", 8), ("steps", 3), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        variant, out = options.one
        measure(variant, options.labels[0], options.batch, options.steps, options.threads, Path(out))
        return
    for labels in options.labels:
        print(f"{BACKBONE} (random weights), C = {labels}, N = {len(CONDITIONS)}, batch {options.batch}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            found = {v: _in_a_process(v, labels, options, Path(folder) / v) for v in VARIANTS}
            expected = load_file(Path(folder) / "plain")
            for variant, values in found.items():
                print(
                    f"{variant:<9} {values['seconds']:8.3f} s   ×{found['plain']['seconds'] / values['seconds']:5.1f}"
                    f"   peak {values['megabytes']:8.0f} MB"
                    f"   loss and gradients {apart(load_file(Path(folder) / variant), expected):.0e} apart",
                    flush=True,
                )


def _in_a_process(variant: str, labels: int, options: argparse.Namespace, out: Path) -> dict[str, Any]:
    # The plain step is slow, with little variance: two repetitions are enough.
    steps = max(2, options.steps - 1) if variant == "plain" else 2 * options.steps
    words = [sys.executable, __file__, "--one", variant, str(out), "--labels", str(labels), "--steps", str(steps)]
    words += ["--batch", str(options.batch), "--threads", str(options.threads)]
    answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(json.loads(answer.splitlines()[-1]))


def apart(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest relative difference over the loss and all gradients."""
    return max(
        float((found[name] - value).abs().max() / value.abs().max().clamp_min(1e-12))
        for name, value in expected.items()
    )


if __name__ == "__main__":
    main()
