"""How much faster is one FedMPT training step than the same step written plainly?

    python benchmarks/step_time.py [--labels 20] [--batch 8] [--steps 3]

Both steps are forward, backward and update on ViT-B/16 with random weights, N = 5 conditions, on the CPU.
plain: every prompt over all 77 positions, the image encoder run in each step.
ours:  shared prefixes, cut endings, cached features. The first losses and gradients are compared, and must agree.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

import prompt_bank
from prompt_bank.schema import Bank, Condition, Label
from trainer.backbone.clip import FrozenClip, Preprocess
from trainer.config import FedMptConfig, LossConfig
from trainer.methods.base import Batch, MethodContext, build
from trainer.methods.fedmpt import FedMPT

CONDITIONS = ("background", "lighting", "pose", "spatial layout", "object scale")
BACKBONE = "ViT-B-16-quickgelu"


class PlainFedMPT(FedMPT):
    """The same mathematics without the shared prefix."""

    def text_features(self) -> Tensor:
        """T: (N, C, D), every prompt through all positions of the context."""
        features = []
        for prefix in self.prompts.prefixes(self.condition_tokens, self.class_tokens):
            endings = self.prompts.suffixes
            count, width = endings.embedded.shape[0], prefix.shape[1]
            rest = self.clip.context_length - len(prefix) - endings.embedded.shape[1]
            whole = [prefix.expand(count, -1, -1), endings.embedded, torch.zeros(count, rest, width)]
            features.append(self.clip.encode_tokens(torch.cat(whole, dim=1), len(prefix) + endings.eot))
        return F.normalize(torch.stack(features), dim=-1)


def label_names(count: int) -> tuple[str, ...]:
    """COCO's names, as many as asked for."""
    lines = (Path(prompt_bank.__path__[0]) / "banks" / "coco80.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if not line.startswith("#"))[:count]


def make(kind: type[FedMPT], clip: FrozenClip, names: tuple[str, ...]) -> FedMPT:
    """A method with the same parameters whatever its kind."""
    bank = Bank(
        name="benchmark",
        labels=tuple(Label(name=name) for name in names),
        conditions=tuple(Condition(id=f"c{i}", text=text) for i, text in enumerate(CONDITIONS)),
    )
    generator = torch.Generator().manual_seed(0)
    context = MethodContext(clip, names, bank, FedMptConfig(matching="transport"), LossConfig(), generator)
    method = build("fedmpt", context)
    assert isinstance(method, FedMPT)
    method.__class__ = kind
    return method


def timed(method: FedMPT, batch: Callable[[], Batch], steps: int) -> tuple[float, float, dict[str, Tensor]]:
    """Seconds of the fastest of some steps, and the first step's loss and gradients."""
    parameters = {n: p for n, p in method.named_parameters() if p.requires_grad}
    optimiser = torch.optim.SGD(parameters.values(), lr=1e-3, momentum=0.9)
    seconds, first = [], None
    for _ in range(steps):
        began = time.perf_counter()
        optimiser.zero_grad()
        loss = method.loss(batch())
        loss.backward()
        if first is None:
            first = (float(loss.detach()), {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None})
        optimiser.step()
        seconds.append(time.perf_counter() - began)
    assert first is not None
    return min(seconds), *first


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = open_clip.create_model(BACKBONE, pretrained=None, load_weights=False)
    preprocess = Preprocess(224, (0.5, 0.5, 0.5), (0.28, 0.28, 0.28))
    clip = FrozenClip(model, open_clip.get_tokenizer(BACKBONE), preprocess, f"{BACKBONE} (random weights)")
    names = label_names(options.labels)
    pixels = torch.randn(options.batch, 3, 224, 224)
    truth = (torch.rand(options.batch, len(names)) < 0.2).float()
    cached = Batch(*clip.encode_image(pixels), truth)

    ours = timed(make(FedMPT, clip, names), lambda: cached, 3 * options.steps)
    plain = timed(make(PlainFedMPT, clip, names), lambda: Batch(*clip.encode_image(pixels), truth), options.steps)
    apart = max(float((ours[2][n] - g).abs().max() / g.abs().max().clamp_min(1e-12)) for n, g in plain[2].items())
    shape = f"C = {len(names)}, N = {len(CONDITIONS)}, batch {options.batch}"
    print(f"{clip.name}, {shape}, {torch.get_num_threads()} threads")
    print(f"plain  {plain[0]:8.3f} s   (77 positions, image encoder in each step)")
    print(f"ours   {ours[0]:8.3f} s   (shared prefix, cached features)")
    print(f"ratio  {plain[0] / ours[0]:8.1f}     losses {plain[1]:.6f} and {ours[1]:.6f}, gradients {apart:.1e} apart")


if __name__ == "__main__":
    main()
