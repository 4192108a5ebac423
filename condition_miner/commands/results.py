"""What mine-conditions prints: the estimate of a dry run, and the bank that was written with what it took."""

from __future__ import annotations

import json
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
    from prompt_bank.recording.changes import who
    from prompt_bank.recording.proposals import MINER, record_mined

    did = f"mined {len(bank.conditions)} conditions from {len(bank.captions)} captions with {model}"
    recorded = record_mined(bank, out, editor=who(None), did=did)
    written = recorded.bank
    now, in_all = (asker.sent, asker.budget.spent_in, asker.budget.spent_out), _asked(bank)
    if as_json:
        texts = [c.text for c in written.conditions]
        summary = {"bank": str(out), "revision": written.revision, "conditions": texts, "requests_sent": asker.sent}
        costs = {"this_run": None if asker.later else _costs(now, prices), "bank": _costs(in_all, prices)}
        typer.echo(json.dumps({**summary, "costs": costs}, ensure_ascii=False))
        return
    for condition in written.conditions:
        share = "–" if condition.support is None else f"{100 * condition.support:.0f} %"
        typer.echo(f"  {condition.text:<24} {share:>5} of captions   {', '.join(condition.values[:4])}")
    typer.echo(f"{out}: revision {written.revision}, {did}; {asker.sent} requests sent")
    this_run = "" if asker.later else f"this run: {_costs_words(now, prices)}; "  # a batch is answered across runs
    typer.echo(f"{this_run}all answers of the bank: {_costs_words(in_all, prices)}")
    if not recorded.written:
        typer.echo("nothing new: the bank is as it was")
    elif any(entry.by != MINER for entry in written.history):
        typer.echo(f"people's decisions stay; fedmpt bank diff {out} {written.revision - 1} shows what is new")
    typer.echo(f"next: fedmpt bank review {out}   fedmpt train --bank {out}")


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
