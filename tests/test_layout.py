"""The arrows between files: none runs in a circle, imports inside functions and for types alone included.

The order of the rooms is held by import-linter's layers (pyproject.toml).
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

PACKAGES = ("fedmpt", "condition_miner", "prompt_bank", "trainer")


def arrows(graph: grimp.ImportGraph) -> dict[str, set[str]]:
    """For each file the files that it imports."""
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def test_no_file_imports_itself_in_a_circle() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    try:
        TopologicalSorter(arrows(graph)).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


def test_a_circle_is_found() -> None:
    graph = grimp.ImportGraph()
    for module in ("a", "b", "c"):
        graph.add_module(module)
    graph.add_import(importer="a", imported="b")
    graph.add_import(importer="b", imported="c")
    TopologicalSorter(arrows(graph)).prepare()
    graph.add_import(importer="c", imported="a")
    with pytest.raises(CycleError):
        TopologicalSorter(arrows(graph)).prepare()
