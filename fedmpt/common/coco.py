"""The categories of COCO files, also of programs that write them their own way (LVIS, Roboflow, pandas)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmpt.common.errors import InputFileError
from fedmpt.common.json_stream import items
from fedmpt.common.label_names import check_names
from fedmpt.common.words import fold

MAX_ID_DIGITS = 18


@dataclass(frozen=True)
class Category:
    """A category.

    Attributes:
        place: "categories[2]" for instance.
        number: its id.
        name: its name.
        aliases: LVIS's synonyms that are names of no other category.
    """

    place: str
    number: int | str
    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Categories:
    """The categories of a file, in the order of their ids (numbers before texts).

    Attributes:
        listed: the categories.
        problems: invalid entries, each with its place.
        notes: on categories and synonyms that were left out.
    """

    listed: tuple[Category, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def names(self, path: Path) -> dict[int | str, str]:
        """The names by id.

        Raises:
            InputFileError: invalid entries, names that no label can have, or two categories of one name.
        """
        entries = [(category.place, (category.name,)) for category in self.listed]
        problems = [*self.problems, *check_names(entries, explicit=True)[0]]
        if problems:
            raise InputFileError("\n".join(f"{path}, {problem}" for problem in problems))
        return {category.number: category.name for category in self.listed}


def identifier(value: Any) -> int | str | None:
    """An id as COCO means it: 1, 1.0 and "1" are the same, since pandas and others rewrite them; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 10**MAX_ID_DIGITS else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MAX_ID_DIGITS:
        return int(value) if str(int(value)) == value else value
    return value if isinstance(value, int | str) else None


def read_categories(path: Path) -> Categories:
    """Read the categories of a COCO file.

    Roboflow's first category is the name of the project, the supercategory of all others, and has no annotations: it
    is left out.

    Raises:
        InputFileError: the file cannot be read or is not JSON.
    """
    found: dict[int | str, Category] = {}
    above: dict[int | str, Any] = {}
    problems = []
    for at, entry in enumerate(items(path, "categories.item")):
        place = f"categories[{at}]"
        number = identifier(entry.get("id")) if isinstance(entry, dict) else None
        if number is None or not isinstance(entry.get("name"), str):
            problems.append(f"{place}: expected an object with id and name")
        elif number in found:
            problems.append(f"{place}: has the id {number} of {found[number].place}")
        else:
            synonyms = entry.get("synonyms")
            words = tuple(x for x in synonyms if isinstance(x, str)) if isinstance(synonyms, list) else ()
            found[number] = Category(place, number, entry["name"].strip(), words)
            above[number] = entry.get("supercategory")
    notes = []
    dummy = _dummy(path, found, above)
    if dummy is not None:
        name = found.pop(dummy).name
        notes.append(f"the category '{name}' of id {dummy} has no annotations and only groups the others; left out")
    ordered = sorted(found.values(), key=lambda category: (isinstance(category.number, str), category.number))
    listed, dropped = _with_own_aliases(ordered)
    return Categories(listed, tuple(problems), (*notes, *dropped))


def _dummy(path: Path, found: dict[int | str, Category], above: dict[int | str, Any]) -> int | str | None:
    for number, category in found.items():
        others = [above[other] for other in found if other != number]
        if others and above[number] in (None, "none", "None", "") and all(x == category.name for x in others):
            used = (identifier(a.get("category_id")) for a in items(path, "annotations.item") if isinstance(a, dict))
            return None if number in used else number
    return None


def _with_own_aliases(categories: list[Category]) -> tuple[tuple[Category, ...], list[str]]:
    """The categories with those synonyms that belong to one of them only, and notes on the others."""
    owners: dict[str, set[int]] = {}
    for at, category in enumerate(categories):
        for word in (category.name, *category.aliases):
            owners.setdefault(fold(word), set()).add(at)
    listed, notes = [], []
    for category in categories:
        own = {
            fold(word): word.strip() for word in category.aliases if word.strip() and fold(word) != fold(category.name)
        }
        shared = [word for key, word in own.items() if len(owners[key]) > 1]
        kept = tuple(word for key, word in own.items() if len(owners[key]) == 1)
        listed.append(Category(category.place, category.number, category.name, kept))
        if shared:
            notes.append(f"{category.place}: other categories have these synonyms, too: {', '.join(shared)}; left out")
    return tuple(listed), notes
