"""What the mining commands print: the estimate of a dry run, and the bank that was written with what it took."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from condition_miner.asking.asker import Asker
    from condition_miner.estimate import Estimate
    from prompt_bank.schema import Bank


@dataclass(frozen=True)
class Prices:
    """The user's prices of a million tokens.

    Attributes:
        into, out: of tokens that are sent, and that are answered; None where no price is given.
    """

    into: float | None = None
    out: float | None = None

    def of(self, tokens_in: int, tokens_out: int) -> float | None:
        """The price of tokens; None if no price is given."""
        if (self.into, self.out) == (None, None):
            return None
        return (tokens_in * (self.into or 0) + tokens_out * (self.out or 0)) / 1e6


def price_words(price: float | None) -> str:
    """A price with two places, or four where it is small."""
    return "" if price is None else f"price {price:.{2 if price >= 1 else 4}f}"


def print_estimates(estimates: list[Estimate], prices: Prices, as_json: bool) -> None:
    """Print the estimated requests and tokens, by stage and in total."""
    requests, into, out = (
        sum(getattr(stage, count) for stage in estimates) for count in ("requests", "tokens_in", "tokens_out")
    )
    price = prices.of(into, out)
    if as_json:
        total = {"requests": requests, "tokens_in": into, "tokens_out": out, "price": price}
        typer.echo(json.dumps({"stages": [vars(stage) for stage in estimates], **total}))
        return
    if not estimates:
        typer.echo("all answers are in the cache: nothing would be sent")
        return
    typer.echo(f"{'stage':<12}{'requests':>10}{'tokens in':>12}{'tokens out':>12}")
    for stage in estimates:
        about = "" if stage.exact else "  about"
        typer.echo(f"{stage.stage:<12}{stage.requests:>10}{stage.tokens_in:>12}{stage.tokens_out:>12}{about}")
    cost = "" if price is None else f"  {price_words(price)}"
    typer.echo(f"{'in all':<12}{requests:>10}{into:>12}{out:>12}{cost}")
    typer.echo("Tokens are estimated; each invalid answer is one request more. Nothing was sent.")


def write_bank(bank: Bank, out: Path, model: str, asker: Asker, prices: Prices, as_json: bool) -> None:
    """Write the bank, or merge it into an existing one without changing what people decided; print the result."""
    did = f"mined {len(bank.conditions)} conditions from {len(bank.captions)} captions with {model}"
    _write(bank, out, did, asker, prices, as_json, told=_conditions_told)


def write_attributes(bank: Bank, out: Path, model: str, asker: Asker, prices: Prices, as_json: bool) -> None:
    """The same for a bank to which attributes were added."""
    described = sum(bool(label.attributes) for label in bank.labels)
    did = f"mined the attributes of {described} labels with {model}"
    _write(bank, out, did, asker, prices, as_json, told=_attributes_told)


@dataclass(frozen=True)
class _Told:
    """What is printed of the content of a bank: lines for people, an entry for programs, and the next command."""

    lines: list[str]
    entry: dict[str, object]
    train: str


def _conditions_told(bank: Bank) -> _Told:
    shares = ["–" if c.support is None else f"{100 * c.support:.0f} %" for c in bank.conditions]
    lines = [
        f"  {c.text:<24} {share:>5} of captions   {', '.join(c.values[:4])}"
        for c, share in zip(bank.conditions, shares, strict=True)
    ]
    return _Told(lines, {"conditions": [c.text for c in bank.conditions]}, "fedmpt train")


def _attributes_told(bank: Bank) -> _Told:
    lines = [f"  {label.name:<24} {', '.join(label.attributes) or '–'}" for label in bank.labels]
    entry: dict[str, object] = {"attributes": {label.name: label.attributes for label in bank.labels}}
    return _Told(lines, entry, "fedmpt train --method fedmvp-attributes")


def _write(
    bank: Bank, out: Path, did: str, asker: Asker, prices: Prices, as_json: bool, told: Callable[[Bank], _Told]
) -> None:
    from fedmpt.common.words import printable
    from prompt_bank.recording.changes import who
    from prompt_bank.recording.proposals import MINER, record_mined

    recorded = record_mined(bank, out, editor=who(None), did=did)
    written = recorded.bank
    shown = told(written)
    now, in_all = (asker.sent, asker.budget.spent_in, asker.budget.spent_out), _asked(bank)
    if as_json:
        summary = {"bank": str(out), "revision": written.revision, **shown.entry, "requests_sent": asker.sent}
        costs = {"this_run": None if asker.later else _costs(now, prices), "bank": _costs(in_all, prices)}
        typer.echo(json.dumps({**summary, "costs": costs}, ensure_ascii=False))
        return
    for line in shown.lines:
        typer.echo(printable(line))
    typer.echo(f"{out}: revision {written.revision}, {did}; {asker.sent} requests sent")
    this_run = "" if asker.later else f"this run: {_costs_words(now, prices)}; "  # a batch is answered across runs
    typer.echo(f"{this_run}all answers of the bank: {_costs_words(in_all, prices)}")
    if not recorded.written:
        typer.echo("nothing new: the bank is as it was")
    elif any(entry.by != MINER for entry in written.history):
        typer.echo(f"people's decisions stay; fedmpt bank diff {out} {written.revision - 1} shows what is new")
    typer.echo(f"next: fedmpt bank review {out}   {shown.train} --bank {out}")


def _asked(bank: Bank) -> tuple[int, int, int]:
    """Requests, tokens in and tokens out of all answers in a bank, those from the cache included."""
    found = bank.provenance
    return found.requests, found.tokens.into, found.tokens.out


def _costs(counts: tuple[int, int, int], prices: Prices) -> dict[str, float | None]:
    requests, into, out = counts
    return {"requests": requests, "tokens_in": into, "tokens_out": out, "price": prices.of(into, out)}


def _costs_words(counts: tuple[int, int, int], prices: Prices) -> str:
    requests, into, out = counts
    price = price_words(prices.of(into, out))
    return f"{requests:,} requests, {into:,} tokens in, {out:,} out" + (f", {price}" if price else "")
