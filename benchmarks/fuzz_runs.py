"""Damage files of run and export folders at random, and open them: anything but a clear error is a failure.

    python benchmarks/fuzz_runs.py --seconds 120 [--seed 0]

Each case copies a small trained run or an export of it and changes one or two files: values of JSON, bytes, missing
files. Checksums of exports are mostly made to fit. Then it calls a reader: a run's records, `trainer.load` with a
prediction, `export`, `evaluate` or `report`. Only a FedmptError may come out. A failure is printed with its seed and
what was changed; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import trainer
from fedmpt.common.errors import FedmptError
from prompt_bank.schema import Bank, Condition, Label, Prompt
from trainer.data.partition import save_partition
from trainer.data.scenes.objects import CLASSES
from trainer.evaluation.comparison import evaluation_table, rows, table, yardstick_rows
from trainer.evaluation.measuring import evaluate
from trainer.inference.export import export
from trainer.inference.exported import CONFIG, SUMS, sha256
from trainer.preparing import Prepared, prepare
from trainer.report.page import write_report
from trainer.resolving import resolve
from trainer.run.folder import Run
from trainer.run.identity import check_identity, recorded_weights
from trainer.train import train

SMALL = {
    "data.sites": 2,
    "data.images_per_site": 12,
    "data.validation_images": 30,
    "data.test_images": 30,
    "federation.rounds": 2,
    "optimiser.batch_size": 6,
    "evaluation.bootstrap": 20,
}

VALUES: list[Any] = [
    None, True, 0, -1, 3, 10**9, 10**400, 0.5, -0.0, 1e308, "", "x", "\ud800", "\x1b[2J", "../../x", "hf-hub:x/y",
    "local-dir:.", [], [[]], [1], {}, {"a": 1}, "9" * 5000, "cuda", "meta", [None], ["cat", "cat"],
]  # fmt: skip
"""Values that take the place of others."""

RAW = [b"", b"null", b"[]", b"{", b"[" * 5000, b"\xff\xfe", b'{"a": NaN}', b'{"a": 1e999}', b"\0" * 64, b"9" * 6000]
"""Contents that take the place of a file."""

IMAGE = Image.new("RGB", (64, 64), (90, 120, 30))


def make(folder: Path) -> list[Path]:
    """Trained runs of three methods, and their exports."""
    bank = Bank(
        name="small",
        labels=tuple(Label(name=name) for name in CLASSES),
        conditions=tuple(Condition(id=f"c{i}", text=text) for i, text in enumerate(("background", "layout"))),
        prompt=Prompt(condition_tokens=3, class_tokens=2),
    )
    (folder / "bank.json").write_text(bank.model_dump_json(by_alias=True), encoding="utf-8")
    made = []
    for method in ("fedmpt", "coop", "zero-shot"):
        config = resolve(overrides={**SMALL, "method.name": method})
        run = Run.create(folder / method, config, folder / "bank.json" if method == "fedmpt" else None)
        ready = prepare(config, bank, folder / "cache")
        save_partition(ready.dataset, config.data.partition, run.partition)
        train(run, ready)
        evaluate(run, ready)
        shutil.rmtree(run.folder / "events", ignore_errors=True)
        made += [run.folder, export(run, folder / f"{method}-model")]
    return made


def change_json(rng: random.Random, value: Any, depth: int = 0) -> Any:
    """The value with one part of it replaced, removed, renamed or repeated."""
    if not isinstance(value, dict | list) or not value or (depth and rng.random() < 0.15):
        return rng.choice(VALUES)
    pairs = list(value.items() if isinstance(value, dict) else enumerate(value))
    at, what = rng.randrange(len(pairs)), rng.randrange(8)
    key, part = pairs[at]
    if what == 0:
        del pairs[at]
    elif what == 1:
        pairs.insert(at, ("surplus" if isinstance(value, dict) else key, rng.choice(VALUES)))
    else:
        pairs[at] = (key, change_json(rng, part, depth + 1))
    return dict(pairs) if isinstance(value, dict) else [part for _, part in pairs]


def change_bytes(rng: random.Random, content: bytes) -> bytes:
    """The bytes with some flipped, cut off, repeated or put in."""
    changed, what = bytearray(content), rng.randrange(5)
    near = min(len(changed), 2000) if rng.random() < 0.7 else len(changed)  # most of what matters is in headers
    if what < 3 and changed:
        for _ in range(rng.choice((1, 1, 2, 8))):
            changed[rng.randrange(near)] ^= 1 << rng.randrange(8)
        return bytes(changed)
    at = rng.randrange(near + 1)
    return (
        bytes(changed[:at])
        if what == 3
        else bytes(changed[:at] + rng.randbytes(rng.choice((1, 8, 100))) + changed[at:])
    )


def damage(rng: random.Random, path: Path) -> str:
    """Change a file; what was done, in words."""
    what = rng.randrange(10)
    if what == 0:
        path.unlink()
        return f"{path.name} removed"
    if what == 1:
        path.write_bytes(rng.choice(RAW))
        return f"{path.name} replaced by {path.read_bytes()[:20]!r}"
    if path.suffix in (".json", ".jsonl") and what < 8:
        lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
        if not lines:
            return "nothing"
        at = rng.randrange(len(lines))
        lines[at] = json.dumps(change_json(rng, json.loads(lines[at])))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return f"{path.name} changed to {lines[at][:2000]}"
    path.write_bytes(change_bytes(rng, path.read_bytes()))
    return f"{path.name}: other bytes"


def read_records(folder: Path, cache: Path) -> None:
    """All records of a run, and its tables."""
    run = Run.open(folder)
    run.config(), run.metrics(), run.best(), run.identity(), run.environment()
    table(rows([run]))
    evaluation_table(run.evaluation(), yardstick_rows(run))


def load(folder: Path, cache: Path) -> None:
    """A model, and a prediction that is a number."""
    model = trainer.load(folder, device="cpu")
    for row in model.predict([IMAGE]):
        assert all(0 <= value <= 1 for value in row.values()), row
    model.explain(IMAGE, list(model.labels)[:2]).to_dict()


def export_again(folder: Path, cache: Path) -> None:
    """An export of a run."""
    export(Run.open(folder), folder.parent / "out")


def prepare_again(folder: Path, cache: Path) -> tuple[Run, Prepared]:
    """What evaluate, report and --resume load."""
    from prompt_bank.recording.store import load as load_bank

    run = Run.open(folder)
    config = run.config()
    if config.data.sites * config.data.images_per_site + config.data.test_images > 10_000:
        raise FedmptError("a larger world than this benchmark draws")
    bank = None if run.bank is None else load_bank(run.bank).bank
    ready = prepare(config, bank, cache, recorded=recorded_weights(run))
    check_identity(run, ready)
    return run, ready


def evaluate_again(folder: Path, cache: Path) -> None:
    """evaluate."""
    run, ready = prepare_again(folder, cache)
    evaluate(run, ready)


def report_again(folder: Path, cache: Path) -> None:
    """report."""
    run, ready = prepare_again(folder, cache)
    write_report(run, ready, [])


READERS: list[tuple[Callable[[Path, Path], Any], int]] = [
    (read_records, 6), (load, 6), (export_again, 2), (evaluate_again, 1), (report_again, 1),
]  # fmt: skip
"""Readers of runs, and how often each is called; exports are only loaded."""


def one_case(seed: int, sources: list[Path], cache: Path, folder: Path) -> tuple[str, str | None]:
    """Damage a copy and read it; the reader's name, and the failure if there is one."""
    rng = random.Random(seed)
    copy = Path(shutil.copytree(rng.choice(sources), folder / "copy"))
    files = sorted(path for path in copy.rglob("*") if path.is_file() and path.suffix not in (".md", ""))
    is_export = (copy / SUMS).exists()
    done = [damage(rng, path) for path in rng.sample(files, rng.choice((1, 1, 2)))]
    if is_export and rng.random() < 0.7:
        names = sorted(path.name for path in copy.iterdir() if path.name == CONFIG or path.suffix == ".safetensors")
        (copy / SUMS).write_text("".join(f"{sha256(copy / name)}  {name}\n" for name in names))
    readers, weights = zip(*READERS, strict=True)
    reader = load if is_export else rng.choices(readers, weights)[0]
    try:
        with contextlib.redirect_stderr(None):
            reader(copy, cache)
    except FedmptError:
        return reader.__name__, None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return reader.__name__, f"seed {seed}, {reader.__name__}: {'; '.join(done)}\n{traceback.format_exc(limit=-6)}"
    return reader.__name__, None


def main() -> int:
    """Fuzz for a number of seconds; 1 if there was a failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the first case; a failure prints its own")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    counts, failures, seed = Counter[str](), 0, chosen.seed
    with tempfile.TemporaryDirectory() as made:
        sources = make(Path(made))
        end = time.monotonic() + chosen.seconds
        while time.monotonic() < end:
            with tempfile.TemporaryDirectory() as folder:
                name, failure = one_case(seed, sources, Path(made) / "cache", Path(folder))
            counts[name] += 1
            seed += 1
            if failure is not None:
                failures += 1
                print(failure, flush=True)
    print(f"{sum(counts.values())} cases, {failures} failures: {dict(counts)}")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
