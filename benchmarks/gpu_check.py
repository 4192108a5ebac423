"""What no CPU can confirm, in one page: run `python benchmarks/gpu_check.py` on a machine with a GPU.

    python benchmarks/gpu_check.py [--out gpu_check.md] [--device cuda] [--only SECTION …] [--methods METHOD …]

Five to six minutes on an H100 but for the last section, which compiles each method twice and takes longer than all
others; no weights or data are needed (ViT-B/16 has random weights, images are synthetic, and `scenes` is drawn). The
page is written as it goes, and a section that fails says how and leaves the others alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from gpu_parts import (
    BACKBONE,
    BATCH,
    LABELS,
    PAPER_MS,
    Step,
    largest_difference,
    loss_and_gradients,
    make,
    peak_tflops,
    scenes_map,
    variants,
    wait,
)
from torch.utils.flop_counter import FlopCounterMode

from trainer.preparing import pick_device

PRECISIONS = ("fp32", "bf16", "fp16")


class Page:
    """A Markdown file that is written line by line."""

    def __init__(self, path: Path, chosen: list[str]) -> None:
        self.path, self.variants = path, chosen
        self.failed: list[str] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")

    def line(self, text: str = "") -> None:
        """Add a line to the page, and print it."""
        print(text, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def row(self, *cells: object) -> None:
        """Add a table's row."""
        self.line("| " + " | ".join(str(cell) for cell in cells) + " |")

    def head(self, *cells: str) -> None:
        """Begin a table, behind a blank line."""
        if not self.path.read_text(encoding="utf-8").endswith("\n\n"):
            self.line()
        self.row(*cells)
        self.row(*("---" for _ in cells))

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """What fails inside becomes a line of the page."""
        try:
            yield
        except Exception as error:  # the next section is tried whatever happened here
            self.failed.append(what)
            first = (str(error).strip().splitlines() or [""])[0]
            self.line(f"**{what} failed**: {type(error).__name__}: {first[:300]}")
            traceback.print_exc()


def environment(page: Page, device: torch.device) -> None:
    """The card and the versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU (a rehearsal: no figure of a GPU)"
    page.line(f"- {name}; torch {torch.__version__}, CUDA {torch.version.cuda}, Python {sys.version.split()[0]}")
    page.line(f"- bf16 matrix products of 8192: {peak_tflops(device):.0f} TFLOP/s, the peak of the shares below")


def agreement(page: Page, device: torch.device) -> None:
    """Loss and gradients of every method against the CPU's."""
    page.line("Largest relative difference of the loss and of any gradient to the CPU's fp32; scenes-tiny, 24 labels.")
    page.head("method", *PRECISIONS)
    for variant in page.variants:
        with page.guarded(f"{variant} against the CPU"):
            expected = loss_and_gradients(make(variant, torch.device("cpu"), "scenes-tiny"))
            cells = []
            for precision in PRECISIONS:
                found = loss_and_gradients(make(variant, device, "scenes-tiny", precision))
                cells.append(f"{largest_difference(found, expected):.0e}")
            page.row(variant, *cells)


def synchronisation(page: Page, device: torch.device) -> None:
    """Loss, backward and update with every synchronisation an error."""
    page.head("method", "a step without waiting for the device")
    for variant in page.variants:
        with page.guarded(f"{variant} without synchronisation"):
            step = Step(make(variant, device, BACKBONE))
            step()
            torch.cuda.set_sync_debug_mode("error")
            try:
                step()
            finally:
                torch.cuda.set_sync_debug_mode("default")
            page.row(variant, "yes")


def determinism(page: Page, device: torch.device) -> None:
    """The same step twice, to the bit."""
    page.head("method", "plain", "deterministic algorithms")
    for variant in page.variants:
        with page.guarded(f"{variant} twice"):
            same = []
            for wanted in (False, True):
                torch.use_deterministic_algorithms(wanted)
                try:
                    first, second = (loss_and_gradients(make(variant, device, "scenes-tiny")) for _ in range(2))
                finally:
                    torch.use_deterministic_algorithms(False)
                same.append(all(torch.equal(first[name], second[name]) for name in first))
            page.row(variant, *("same bits" if one else "differs" for one in same))


def timed(step: Callable[[], object], device: torch.device, seconds: float = 2.0) -> float:
    """Milliseconds of a call: the median of those that fit, after three to warm up."""
    for _ in range(3):
        step()
    found: list[float] = []
    began = time.monotonic()
    while len(found) < 5 or (time.monotonic() - began < seconds and len(found) < 100):
        wait(device)
        start = time.perf_counter()
        step()
        wait(device)
        found.append(1e3 * (time.perf_counter() - start))
    return sorted(found)[len(found) // 2]


def floating_point_operations(step: Step) -> int:
    """Of the matrix products of a step, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def speed(page: Page, device: torch.device) -> None:
    """Milliseconds an iteration, memory, and the share of the card's peak."""
    page.line(
        f"One step (forward, backward, update), ViT-B/16 with random weights, batch {BATCH}, {LABELS} labels, cached"
    )
    page.line("features; *with images* encodes them in the step, as the paper's Table 5 does (ms there, another card).")
    peak = peak_tflops(device)
    page.head("method", *(f"{p}, ms" for p in PRECISIONS), "with images, bf16", "the paper", "peak MB", "of peak, bf16")
    for variant in page.variants:
        with page.guarded(f"{variant} timed"):
            cells: list[str] = []
            for precision in PRECISIONS:
                torch.cuda.reset_peak_memory_stats(device)
                step = Step(make(variant, device, BACKBONE, precision))
                cells.append(f"{timed(step, device):.2f}")
                if precision == "bf16":
                    work = floating_point_operations(step)
                    share = work / (float(cells[-1]) * 1e-3) / 1e12 / peak
                    whole = Step(step.made, images=True)
                    imaged = timed(whole, device)
                    memory = torch.cuda.max_memory_allocated(device) / 2**20
            page.row(variant, *cells, f"{imaged:.2f}", PAPER_MS.get(variant, "–"), f"{memory:.0f}", f"{share:.1%}")


def compiled(page: Page, device: torch.device) -> None:
    """Inductor in one piece, with CUDA graphs: difference and time."""
    page.line("The loss compiled in one piece; the difference is that of fp32's loss and gradients to the eager ones.")
    page.head("method", "eager, ms", "CUDA graphs, ms", "CUDA graphs, bf16, ms", "of peak", "difference")
    for variant in page.variants:
        with page.guarded(f"{variant} compiled"):
            expected = loss_and_gradients(make(variant, device, BACKBONE))
            eager = Step(make(variant, device, BACKBONE))
            cells, worst, work = [f"{timed(eager, device, 1.0):.2f}"], 0.0, floating_point_operations(eager)
            for precision in ("fp32", "bf16"):
                torch._dynamo.reset()
                made = make(variant, device, BACKBONE, precision)
                one = dataclasses.replace(
                    made, loss=torch.compile(made.method.loss, fullgraph=True, mode="reduce-overhead")
                )
                if precision == "fp32":
                    worst = max(worst, largest_difference(loss_and_gradients(one), expected))
                milliseconds = timed(Step(one), device, 1.0)
                cells.append(f"{milliseconds:.2f}")
            share = work / (milliseconds * 1e-3) / 1e12 / peak_tflops(device)
            page.row(variant, *cells, f"{share:.1%}", f"{worst:.0e}")


def training(page: Page, device: torch.device, rounds: int = 3) -> None:
    """A few rounds of the drawn world with every method, on both."""
    page.head(f"{rounds} rounds of scenes, seed 0", "validation mAP, here", "on the CPU", "seconds, here", "on the CPU")
    with TemporaryDirectory() as folder:
        for variant in page.variants:
            with page.guarded(f"{variant} trained"):
                places = (device, torch.device("cpu"))
                (here, fast), (there, slow) = (scenes_map(variant, place, rounds, Path(folder)) for place in places)
                page.row(variant, f"{here:.2f}", f"{there:.2f}", f"{fast:.1f}", f"{slow:.1f}")


SECTIONS: dict[str, Callable[[Page, torch.device], None]] = {
    "The same numbers": agreement,
    "No waiting": synchronisation,
    "Determinism": determinism,
    "Speed and memory": speed,
    "Training": training,
    "Compiled": compiled,
}


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu_check.md"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="*", default=list(SECTIONS), choices=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--methods", nargs="*", default=variants(), choices=variants(), metavar="METHOD")
    options = parser.parse_args()
    device, page = pick_device(options.device), Page(options.out, options.methods)
    began = time.monotonic()
    page.line("# GPU check")
    page.line()
    with page.guarded("the environment"):
        environment(page, device)
    for title in options.only:
        page.line(f"\n## {title}\n")
        with page.guarded(title):
            SECTIONS[title](page, device)
    page.line(
        f"\n{time.monotonic() - began:.0f} s. " + (f"Failed: {'; '.join(page.failed)}." if page.failed else "All ran.")
    )


if __name__ == "__main__":
    main()
