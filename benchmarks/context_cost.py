"""What does the context's term add to a training step on ViT-B/16 with cached features?

    python benchmarks/context_cost.py [--labels 20 80] [--values 100] [--batch 8]

Forward and backward of the term, learned, beside the same of the whole step of FedMPT, in processor seconds of the
fastest of some. Values and affinities are random, in two conditions; the weights are random.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import open_clip
import torch
from step_time import BACKBONE, label_names, make
from torch import Tensor

from trainer.backbone.clip import FrozenClip, Preprocess
from trainer.data.batches import Batch
from trainer.heads.context import ContextConfig, ContextTerm
from trainer.heads.context_tables import ContextTable, to_knowledge
from trainer.methods.fedmpt import FedMPT

FORMS = ("front-door", "posterior", "label-graph", "compound")


def fastest(step: Callable[[], Tensor], times: int) -> float:
    """Processor seconds of the fastest of some steps, with their gradients."""
    seconds = []
    for _ in range(times):
        began = time.process_time()
        step().backward()
        seconds.append(time.process_time() - began)
    return min(seconds)


def main() -> None:
    """Print a row for each number of labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 80])
    parser.add_argument("--values", type=int, default=100)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = open_clip.create_model(BACKBONE, pretrained=None, load_weights=False)
    preprocess = Preprocess(224, (0.5, 0.5, 0.5), (0.28, 0.28, 0.28))
    clip = FrozenClip(model, open_clip.get_tokenizer(BACKBONE), preprocess, BACKBONE)
    for count in options.labels:
        names, half = label_names(count), options.values // 2
        lifts = tuple(np.random.default_rng(seed).normal(size=(half, count)) for seed in (0, 1))
        values = (tuple(f"place {i}" for i in range(half)), tuple(f"activity {i}" for i in range(half)))
        table = ContextTable(("place", "activity"), values, lifts, np.random.default_rng(2).normal(size=(count, count)))
        patches = torch.randn(options.batch, clip.patches, clip.dim)
        batch = Batch.of(torch.zeros(options.batch, count), torch.randn(options.batch, clip.dim), patches)
        method = make(FedMPT, clip, names)
        step = fastest(lambda method=method, batch=batch: method.loss(batch), 3)  # type: ignore[misc]
        print(f"C = {count}, {options.values} values, batch {options.batch}: the step {1000 * step:.0f} ms", flush=True)
        logits = torch.randn(options.batch, count, requires_grad=True)
        for form in FORMS:
            settings = ContextConfig.model_validate(
                {"context": "bank", "context_form": form, "context_learned": True, "context_strength": 0.3}
            )
            term = ContextTerm(settings, clip.scale, to_knowledge(settings, table, clip, names))
            added = fastest(lambda term=term, batch=batch, logits=logits: term(batch, logits).sum(), 20)  # type: ignore[misc]
            print(f"  {form:<12} {1000 * added:7.2f} ms, {100 * added / step:.2f} % of it", flush=True)


if __name__ == "__main__":
    main()
