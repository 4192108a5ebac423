"""Memory and time per round with 10 and with 1,000 clients on the same images.

    OMP_NUM_THREADS=1 python benchmarks/federation_scale.py [--images 2000] [--batch 2] [--rounds 2]

Random features in the shape of scenes-tiny's, 24 labels, five conditions; every client's images fill whole batches, so
each round has the same number of steps. Each number of clients runs in its own process. Reported are the processor
seconds of the fastest round, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

import prompt_bank
from prompt_bank.recording.store import load
from trainer.backbone.load import load_backbone
from trainer.config.sections import FederationConfig, LossConfig, OptimiserConfig
from trainer.data.encoding import Encoding
from trainer.data.features import FeatureStore
from trainer.federation.aggregation.registry import choose_rule
from trainer.federation.client import ClientTrainer
from trainer.federation.local import LocalEngine
from trainer.federation.rounds import RoundContext, run_round
from trainer.methods.base import MethodContext
from trainer.methods.fedmpt import FedMptConfig
from trainer.methods.registry import build

BANK = Path(prompt_bank.__path__[0]) / "banks" / "scenes24.json"


def measure(clients: int, images: int, batch: int, rounds: int) -> dict[str, float]:
    """Seconds of the fastest round, and peak memory in MB."""
    clip, bank = load_backbone("scenes-tiny", None), load(BANK).bank
    names = tuple(label.name for label in bank.labels)
    generator = torch.Generator().manual_seed(0)
    method = build("fedmpt", MethodContext(clip, names, bank, FedMptConfig(), LossConfig(), generator))
    random = np.random.default_rng(0)
    shapes = Encoding(clip).shapes(images)
    features = FeatureStore(
        {name: random.standard_normal(shape, dtype=np.float32).astype(np.float16) for name, shape in shapes.items()},
        labels=(random.random((images, len(names))) < 0.1).astype(np.int8),
        ids=tuple(str(index) for index in range(images)),
    )
    federation, optimiser = FederationConfig(), OptimiserConfig(batch_size=batch)
    owned = tuple(np.array_split(np.arange(images), clients))
    engine = LocalEngine(ClientTrainer(method, features, federation, optimiser, seed=0), owned)
    rule = choose_rule(federation, method.aggregation)
    state, seconds = method.exchanged(), []
    for index in range(rounds):
        began = time.process_time()
        context = RoundContext(index, rounds)
        state, _ = run_round(state, clients, engine.gather, federation, optimiser, 0, context, rule)
        seconds.append(time.process_time() - began)
    return {"seconds": min(seconds), "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> None:
    """Print both, and their ratios to the first number of clients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("images", 2000), ("batch", 2), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if any(options.images % (count * options.batch) for count in options.clients):
        parser.error("--images must be a multiple of every number of clients times --batch")
    if options.one:
        print(json.dumps(measure(options.one, options.images, options.batch, options.rounds)))
        return
    print(f"{options.images} images, batch {options.batch}, {torch.get_num_threads()} threads")
    first = None
    for count in options.clients:
        words = [sys.executable, __file__, "--one", str(count), "--clients", str(count)]
        for name in ("images", "batch", "rounds"):
            words += [f"--{name}", str(getattr(options, name))]
        found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        first = first or found
        shares = [found[key] / first[key] for key in ("seconds", "megabytes")]
        print(
            f"{count:>5} clients   {found['seconds']:7.1f} s a round  ×{shares[0]:.3f}"
            f"   {found['megabytes']:7.1f} MB  ×{shares[1]:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
