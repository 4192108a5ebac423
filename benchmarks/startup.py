"""Start-up cost of commands, compared with a bare script that does the same.

    OMP_NUM_THREADS=1 python benchmarks/startup.py [--repeats 5]

The bare script imports torch and open_clip, loads the weights of scenes-tiny and encodes an image; `fedmpt predict`
scores the same image with a trained run of that backbone. Times are processor seconds of whole processes including all
threads; the programs alternate, and the fastest of their repeats counts. Prints Markdown; exit code 1 if a goal is
missed. OMP_NUM_THREADS=1 avoids the busy waiting of threads on a loaded machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import prompt_bank
from trainer.backbone.scenes_tiny import CARD, WEIGHTS
from trainer.config.data import DataConfig
from trainer.data.scenes import World

BARE = """
import json, sys
import open_clip, torch
from PIL import Image
from safetensors.torch import load_file
from torchvision import transforms

weights, card, image = sys.argv[1:]
with open(card, encoding="utf-8") as file:
    model = open_clip.model.CLIP(**json.load(file)["open_clip"]).eval()
state = {name: value.float() if value.is_floating_point() else value for name, value in load_file(weights).items()}
table = torch.zeros_like(model.token_embedding.weight)
table[state.pop("token_embedding.ids").long()] = state.pop("token_embedding.rows")
model.load_state_dict({**state, "token_embedding.weight": table})
size = model.visual.image_size[0]
prepare = transforms.Compose([
    transforms.Resize(size, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(size),
    transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.28, 0.28, 0.28)),
])
with torch.no_grad():
    print(model.encode_image(prepare(Image.open(image).convert("RGB"))[None]).shape)
"""

PREDICT_GOAL = 1.25
"""Maximum ratio to the bare script's processor time."""
COMPARE_GOAL = 0.6
"""Maximum seconds."""
SMALL = {"data.sites": 2, "data.images_per_site": 8, "data.validation_images": 16, "data.test_images": 16}
"""Settings of a small run; start-up time does not depend on the training data."""


def fedmpt(*words: str) -> list[str]:
    """The command line of a fedmpt command."""
    return [sys.executable, "-m", "fedmpt", *words]


def processor_seconds(command: list[str], folder: Path) -> float:
    """User and system time of a process with all its threads.

    Raises:
        RuntimeError: the process failed.
    """
    with (folder / "output.txt").open("w+b") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{command} failed: {output.read().decode()}")
    return usage.ru_utime + usage.ru_stime


def programs(folder: Path) -> dict[str, list[str]]:
    """The measured programs by name; creates the run and the image that they need."""
    data = DataConfig()
    world = World(data.seed, data.sites, data.images_per_site, data.strength, data.shift)
    world.picture("test", 0).image().save(folder / "one.png")
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    bank = str(Path(prompt_bank.__path__[0]) / "banks" / "scenes24.json")
    here = ("--out", "run", "--cache-dir", "cache")
    processor_seconds(fedmpt("train", "--bank", bank, "--rounds", "1", *here, *settings), folder)
    return {
        "bare script": [sys.executable, "-c", BARE, str(WEIGHTS), str(CARD), "one.png"],
        "fedmpt predict": fedmpt("predict", "run", "one.png"),
        "fedmpt compare": fedmpt("compare", "run", "run"),
        "fedmpt --help": fedmpt("--help"),
        "fedmpt bank --help": fedmpt("bank", "--help"),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = programs(folder)
        # The first turn is a warm-up of file and bytecode caches.
        turns = [{k: processor_seconds(c, folder) for k, c in commands.items()} for _ in range(repeats + 1)][1:]
    seconds = {key: min(turn[key] for turn in turns) for key in commands}
    predict = seconds["fedmpt predict"] / seconds["bare script"]
    compare = seconds["fedmpt compare"] / COMPARE_GOAL
    ratios = {
        "fedmpt predict": f"{predict:.2f} times the bare script (goal: at most {PREDICT_GOAL})",
        "fedmpt compare": f"{compare:.2f} times {COMPARE_GOAL} s (goal: at most 1)",
    }
    print(f"Processor seconds, the fastest of {repeats}; OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')}\n")
    print("| program | seconds | ratio |\n|---|---:|---|")
    for key, value in seconds.items():
        print(f"| {key} | {value:.2f} | {ratios.get(key, '')} |")
    if predict > PREDICT_GOAL or compare > 1:
        sys.exit(1)


if __name__ == "__main__":
    main()
