"""Hypothesis strategies for banks and texts, mainly awkward ones."""

from __future__ import annotations

from hypothesis import strategies as st

from fedmpt.common.words import fold
from prompt_bank.schema import (
    Affinity,
    Bank,
    Caption,
    Condition,
    Control,
    Correction,
    Dependency,
    Label,
    Prompt,
    Provenance,
    Reading,
)

WORDS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)
PROSE = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
# fmt: off
ODD = st.sampled_from(
    ["no", "null", "~", "1e3", "0x1F", "2026-11-24", "=1+1", "-x", "@a", "'=x", "''", "- a", "a: b", "#c", "{x}", "[y]",
     "&a", "*a", "!!python/object:x", "%d", "| ", "> ", "a;b", "a\\;b", '"q"', "a\tb", "\ufeffx", "x\u2028y", "\x85",
     "天気", "👩‍👩‍👧", "e\u0301", "\u202ertl", "{{7*7}}", "<b>&amp;", "a,b", "true", ".", "yes", "1_000", " padded "]
)
# fmt: on
"""Texts that YAML, spreadsheets, HTML or templates may misinterpret."""
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PROSE
NAMES = st.lists(WORDS, min_size=1, max_size=4, unique_by=fold)
VALUES = st.lists((PROSE | ODD).filter(bool), max_size=3, unique_by=fold)
LIFTS = st.floats(-9, 9, allow_nan=False).map(lambda number: round(number, 2))


@st.composite
def affinities(draw: st.DrawFn, labels: list[str], values: list[str]) -> Affinity | None:
    """An affinity of some labels and all values, with some corrections."""
    if not values or draw(st.booleans()):
        return None
    chosen = draw(st.lists(st.sampled_from(labels), min_size=1, unique=True))
    row = st.lists(st.none() | LIFTS, min_size=len(values), max_size=len(values)).map(tuple)
    cells = st.lists(st.tuples(st.sampled_from(chosen), st.sampled_from(values)), max_size=3, unique=True)
    return Affinity(
        rows={label: draw(row) for label in chosen},
        corrected=tuple(
            Correction(label=label, value=value, mined=draw(st.none() | LIFTS), by=draw(st.sampled_from(["ada", "bo"])))
            for label, value in draw(cells)
        ),
        asked=(Reading(kind="yes-no", wordings=("Is {label} usual in {value}?",), model="m"),) * draw(st.booleans()),
    )


@st.composite
def banks(draw: st.DrawFn) -> Bank:
    """Any bank that passes its checks, with awkward prose and parameters."""
    labels = draw(NAMES)
    texts = draw(NAMES)
    captions = tuple(
        Caption(id=f"cap-{i}", labels=(draw(st.sampled_from(labels)),), text=draw(PROSE) + "x")
        for i in range(draw(st.integers(0, 3)))
    )
    evidence = st.lists(st.sampled_from([c.id for c in captions]), max_size=3) if captions else st.just([])
    values = [draw(VALUES) for _ in texts]
    conditions = tuple(
        Condition(
            id=f"c{i}",
            text=words,
            definition=draw(PROSE | ODD),
            status=draw(st.sampled_from(["proposed", "accepted", "rejected"])),
            origin=draw(st.sampled_from(["mined", "edited", "added"])),
            support=draw(st.none() | st.floats(0, 1)),
            values=tuple(values[i]),
            evidence=tuple(draw(evidence)),
            note=draw(PROSE | ODD),
            affinity=draw(affinities(labels, values[i])),
        )
        for i, words in enumerate(texts)
    )
    prompt = Prompt(condition_tokens=draw(st.integers(0, 64)), class_tokens=draw(st.integers(0, 64)))
    provenance = Provenance(
        parameters=draw(st.dictionaries(PROSE, SCALARS, max_size=4)),
        seed=draw(st.integers(-(2**40), 2**40)),
        control=draw(st.none() | st.just(Control(how="words", rows={labels[0]: (1.0,)}))),
    )
    return Bank(
        name="any",
        about=draw(st.sampled_from(["", "aerial images", "no: {x} & <b>"])),
        labels=tuple(
            Label(
                name=name,
                aliases=tuple(draw(st.lists(WORDS, max_size=1))),
                attributes=tuple(draw(st.lists(WORDS, max_size=2, unique=True))),
            )
            for name in labels
        ),
        conditions=conditions,
        dependencies=tuple(draw(_dependencies(labels, [c.id for c in conditions], evidence))),
        captions=captions,
        prompt=prompt,
        provenance=provenance,
    )


def _dependencies(
    labels: list[str], ids: list[str], evidence: st.SearchStrategy[list[str]]
) -> st.SearchStrategy[list[Dependency]]:
    if len(labels) < 2:
        return st.just([])
    one = st.builds(
        Dependency,
        labels=st.lists(st.sampled_from(labels), min_size=2, max_size=3, unique=True).map(tuple),
        conditions=st.lists(st.sampled_from(ids), min_size=1, unique=True).map(tuple),
        because=PROSE,
        evidence=evidence.map(tuple),
    )
    return st.lists(one, max_size=3)
