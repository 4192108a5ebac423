"""Cost of a training step of the peers that read a text for each label, against the same step written plainly.

    python benchmarks/peer_steps.py [METHOD …] [--labels 20 80] [--batch 8] [--steps 3]

Forward, backward and update on ViT-B/16 with random weights, on the CPU, for each method's default settings.
plain: every prompt over all 77 positions, the image encoder run in each step.
ours:  shared prefixes, truncated suffixes, and what is frozen of text and image path computed once.
Each runs in its own process, whose peak memory is printed; times are processor seconds of the fastest step. The first
losses and gradients are compared. A plain step that does not fit into memory (about 45 MB per prompt) is left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from step_time import BACKBONE, PROMPT_BYTES, apart, available, label_names, timed
from torch import Tensor

from prompt_bank.schema import Bank, Label
from trainer.backbone.clip import FrozenClip, Preprocess
from trainer.backbone.text import PrefixEncoder
from trainer.config.sections import LossConfig
from trainer.data.batches import Batch
from trainer.data.encoding import Encoding, batch_of_pixels
from trainer.methods.base import Method, MethodContext
from trainer.methods.fedmvp_attributes import FedMVPAttributes
from trainer.methods.prompted_regions import PromptedRegions
from trainer.methods.registry import build, method_class, method_names, settings_classes

VARIANTS = ("plain", "ours")


class PlainEncoder:
    """What a `PrefixEncoder` computes, with every prompt over all positions of the context."""

    def __init__(self, shared: PrefixEncoder) -> None:
        self.clip, self.suffixes, self.injections = shared.clip, shared.suffixes, shared.injections
        self.packing = shared.packing

    def __call__(self, prefixes: Sequence[Tensor], injected: Sequence[Tensor] = ()) -> Tensor:
        """(N, C, D)"""
        return torch.stack([self._encode(prefix, injected) for prefix in prefixes])

    def _encode(self, prefix: Tensor, injected: Sequence[Tensor]) -> Tensor:
        model, suffixes = self.clip.model, self.suffixes.embedded
        count, width = suffixes.shape[0], suffixes.shape[2]
        rest = torch.zeros(count, self.clip.context_length - len(prefix) - suffixes.shape[1], width)
        tokens = torch.cat([prefix.expand(count, -1, -1), suffixes, rest], dim=1) + model.positional_embedding
        for layer, block in enumerate(model.transformer.resblocks):
            here = [(one, given) for one, given in zip(self.injections, injected, strict=True) if one.layer == layer]
            for one, given in here:
                behind = one.position if one.inserted else one.position + one.count
                parts = [tokens[:, : one.position], given.expand(count, -1, -1), tokens[:, behind:]]
                tokens = torch.cat(parts, dim=1)
            # Inserted tokens push the last positions, which are padding, past the end of the context.
            within, beyond = tokens[:, : self.clip.context_length], tokens[:, self.clip.context_length :]
            tokens = torch.cat([block(within, attn_mask=model.attn_mask), beyond], dim=1)
            for one, _ in here:
                if one.inserted:
                    tokens = torch.cat([tokens[:, : one.position], tokens[:, one.position + one.count :]], dim=1)
        at_end = tokens[torch.arange(count), len(prefix) + self.suffixes.eot]
        features: Tensor = model.ln_final(at_end) @ model.text_projection
        return features


class PlainTexts:
    """The frozen text features of `FedMVPAttributes`, computed when they are asked for, over all positions."""

    def __init__(self, method: FedMVPAttributes) -> None:
        self.clip, self.prompts = method.clip, method.prompts

    def __call__(self) -> Tensor:
        """(A, C, D), normalised."""
        tokens = [open_clip.get_tokenizer(BACKBONE)(row) for row in self.prompts]
        with torch.no_grad():
            return torch.stack([F.normalize(self.clip.model.encode_text(row), dim=-1) for row in tokens])


def make(name: str, labels: int) -> Method:
    """A method on ViT-B/16 with random weights, the same each time."""
    torch.manual_seed(0)
    model = open_clip.create_model(BACKBONE, pretrained=None, load_weights=False)
    preprocess = Preprocess(224, (0.5, 0.5, 0.5), (0.28, 0.28, 0.28))
    clip = FrozenClip(model, open_clip.get_tokenizer(BACKBONE), preprocess, BACKBONE)
    settings, generator = settings_classes()[name].model_validate({}), torch.Generator().manual_seed(0)
    names = label_names(labels)
    attributes = tuple(f"seen from side {i}" for i in range(5))
    bank = Bank(name="steps", labels=tuple(Label(name=one, attributes=attributes) for one in names))
    return build(name, MethodContext(clip, names, bank, settings, LossConfig(), generator))


def write_plainly(method: Method) -> int:
    """Have a method compute its text features as one would without thinking of time; its prompts with gradients."""
    if isinstance(method, FedMVPAttributes):
        method.text_features = PlainTexts(method)  # type: ignore[method-assign]
        return 0
    assert isinstance(method, PromptedRegions)
    prompts = len(method.label_names) * len(method.encode.packing.lengths)
    method.encode = PlainEncoder(method.encode)  # type: ignore[assignment]
    return prompts


def measure(name: str, variant: str, labels: int, images: int, steps: int, threads: int, out: Path) -> None:
    """Print a variant's time and peak memory as JSON, and write its first loss and gradients to a file."""
    torch.set_num_threads(threads)
    method = make(name, labels).eval()
    pixels = torch.randn(images, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    truth = (torch.rand(images, labels, generator=torch.Generator().manual_seed(2)) < 0.2).float()
    encoding = Encoding.of(method.clip, method.reads)

    def encoded() -> Batch:
        return batch_of_pixels(method.reads, encoding, pixels, truth)

    if variant == "plain":
        if available() < PROMPT_BYTES * write_plainly(method):
            print(json.dumps({}))
            return
        seconds, first = timed(method, encoded, steps)
    else:
        cached = encoded()
        seconds, first = timed(method, lambda: cached, steps)
    save_file({key: value.contiguous() for key, value in first.items()}, out)
    print(json.dumps({"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def comparable() -> list[str]:
    """The methods that have a plain encoding."""
    return [name for name in method_names() if issubclass(method_class(name), PromptedRegions | FedMVPAttributes)]


def main() -> None:
    """Print time, peak memory and agreement for every method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=comparable())
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 80])
    for name, value in (("batch", 8), ("steps", 3), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        variant, out = options.one
        labels, images = options.labels[0], options.batch
        measure(options.methods[0], variant, labels, images, options.steps, options.threads, Path(out))
        return
    for labels in options.labels:
        print(f"{BACKBONE} (random weights), C = {labels}, batch {options.batch}", flush=True)
        for name in options.methods:
            _compare(name, labels, options)


def _compare(name: str, labels: int, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = {variant: Path(folder) / variant for variant in VARIANTS}
        plain, ours = (_in_a_process(name, variant, labels, options, file) for variant, file in files.items())
        line = f"{name:<17} ours {ours['seconds']:7.3f} s, peak {ours['megabytes']:6.0f} MB"
        if plain:
            difference = apart(load_file(files["ours"]), load_file(files["plain"]))
            line += f"   plain {plain['seconds']:7.3f} s, peak {plain['megabytes']:6.0f} MB"
            line += f"   ×{plain['seconds'] / ours['seconds']:5.1f}   loss and gradients {difference:.0e} apart"
        print(line, flush=True)


def _in_a_process(name: str, variant: str, labels: int, options: argparse.Namespace, out: Path) -> dict[str, float]:
    # The plain step is slow, with little variance: two repetitions are enough.
    steps = 2 if variant == "plain" else 2 * options.steps
    words = [sys.executable, __file__, name, "--one", variant, str(out), "--labels", str(labels)]
    words += ["--steps", str(steps), "--batch", str(options.batch), "--threads", str(options.threads)]
    answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(json.loads(answer.splitlines()[-1]))


if __name__ == "__main__":
    main()
