"""A table as CSV (every cell, with all digits, and means), Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from trainer.reproducing.sheet import Sheet
from trainer.reproducing.table import SOURCES, TableResult


def cells_csv(result: TableResult) -> str:
    """A line per cell; figures as they are in evaluation.json."""
    head = ["table", "dataset", "method", "variant", "point", "seed", "status", "reason", "seconds", "cpu_seconds"]
    lines = []
    for one in result.cells:
        cell = one.cell
        place = [result.plan.table, result.plan.dataset, cell.row.key, cell.row.variant, cell.point, cell.seed]
        lines.append([*place, one.status, one.reason, one.seconds, one.cpu_seconds, *map(one.figures.get, SOURCES)])
    return _csv([[*head, *SOURCES], *lines])


def means_csv(result: TableResult) -> str:
    """A line per row, with the averages over points and the paper's figures."""
    head = ["table", "dataset", "method", "variant", "cells", "done", "failed"]
    for name in SOURCES:
        head += [name, f"{name} sd"]
    lines = []
    for row in result.rows:
        line = [result.plan.table, result.plan.dataset, row.row.key, row.row.variant, row.cells, row.done, row.failed]
        for name in SOURCES:
            mean = row.averages[name]
            line += [None, None] if mean is None else [mean.mean, mean.deviation]
        lines.append([*line, *(row.paper.get(name) for name in ("mAP", "CF1", "OF1")), row.rank, row.paper_rank])
    return _csv([[*head, "paper mAP", "paper CF1", "paper OF1", "rank", "paper rank"], *lines])


def markdown(sheet: Sheet) -> str:
    """The sheet as a Markdown table; the best of each column in bold."""
    lines = [f"## {_escaped(sheet.title)}", "", _bar(["", *sheet.headings]), "|---|" + "---:|" * len(sheet.headings)]
    for line in sheet.lines:
        marked = [f"**{v}**" if best else v for v, best in zip(line.values, line.best, strict=True)]
        lines.append(_bar([_escaped(line.title), *marked]))
    return "\n".join([*lines, "", *(f"- {_escaped(note)}" for note in sheet.notes), ""])


def latex(sheet: Sheet) -> str:
    """The sheet as a LaTeX table (package booktabs); the best of each column in bold."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{tabular}{l" + "r" * len(sheet.headings) + "}",
        "\\toprule",
        " & ".join(["", *map(tex, sheet.headings)]) + " \\\\",
        "\\midrule",
    ]
    for line in sheet.lines:
        values = [f"\\textbf{{{tex(v)}}}" if best else tex(v) for v, best in zip(line.values, line.best, strict=True)]
        lines.append(" & ".join([tex(line.title), *values]) + " \\\\")
    comments = [f"% {note}".replace("\n", " ") for note in (sheet.title, *sheet.notes)]
    return "\n".join([*comments, *lines, "\\bottomrule", "\\end{tabular}", ""])


_TEX = {
    "\\": "\\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "±": "$\\pm$",
    "−": "$-$",
    "–": "--",
}


def tex(text: str) -> str:
    """Text with LaTeX's special signs escaped."""
    return "".join(_TEX.get(sign, sign) for sign in text)


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _bar(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"


def _csv(lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(["" if v is None else _safe(v) for v in line] for line in lines)
    return text.getvalue()


def _safe(value: object) -> object:
    """Text that no spreadsheet takes for a formula: reasons of failures hold names from files."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
