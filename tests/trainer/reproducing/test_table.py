"""The figures of a table: means over seeds and points, ranks, and the paper's figures beside them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import TrainerError
from trainer.options import Options
from trainer.reproducing.grid import Plan, shipped_bank
from trainer.reproducing.lineup import ablation_rows, method_rows
from trainer.reproducing.paper import PAPER, TITLES
from trainer.reproducing.running import Wanted
from trainer.reproducing.sheet import sheet
from trainer.reproducing.table import SOURCES, CellResult, TableResult, mean_of, table_of
from trainer.reproducing.tuned import with_tuned_rows
from trainer.reproducing.writing import cells_csv, latex, markdown, tex
from trainer.run_config import RunConfig


def plan_of(methods: tuple[str, ...], points: tuple[int, ...] = (10, 50), **changes: object) -> Plan:
    """A plan of table 1 with two seeds."""
    chosen = {"table": "table1", "dataset": "voc2007", "seeds": (0, 1), **changes}
    rows = tuple(method_rows(methods))
    return Plan(out=Path("out"), bank=shipped_bank("voc2007"), rows=rows, points=points, **chosen)  # type: ignore[arg-type]


def result_of(plan: Plan, figures: dict[str, float], failed: tuple[str, ...] = ()) -> TableResult:
    """A table whose cells have the figure of their method, plus the point as a hundredth, plus the seed."""
    results = []
    for cell in plan.cells():
        value = figures[cell.row.key] + (cell.point or 0) / 100 + cell.seed
        if cell.name in failed:
            results.append(CellResult(cell, "failed", "the loss | is =not= finite"))
        else:
            results.append(CellResult(cell, "done", "", dict.fromkeys(SOURCES, value), 2.0, 1.0))
    return table_of(plan, results)


def test_averages_are_over_points_first_and_then_over_seeds() -> None:
    result = result_of(plan_of(("dualcoop", "zero-shot")), {"dualcoop": 80.0, "zero-shot": 70.0})
    fixed, trained = result.rows
    average = trained.averages["mAP"]
    assert average is not None
    assert average.mean == pytest.approx(80 + 0.3 + 0.5)
    assert average.deviation == pytest.approx(0.5**0.5)
    # Nothing is trained, so one cell per seed stands for all points.
    assert fixed.cells == 2
    assert fixed.points["mAP"][10] == fixed.points["mAP"][50] == mean_of([70.1, 71.1])
    assert trained.paper == {"mAP": 84.94}
    values = dict(zip(sheet(result, "t").headings, sheet(result, "t").lines[1].values, strict=True))
    assert values["mAP, paper"] == "84.9"
    assert values["mAP, ours − paper"] == "-4.1"


def test_a_seed_without_all_points_has_no_average() -> None:
    plan = plan_of(("dualcoop",))
    names = [cell.name for cell in plan.cells()]
    result = result_of(plan, {"dualcoop": 80.0}, failed=(names[0],))
    average = result.rows[0].averages["mAP"]
    assert average is not None
    assert average.seeds == 1
    assert average.mean == pytest.approx(81.3)
    assert result.failed == 1
    assert any("not= finite" in note for note in sheet(result, "t").notes)


def test_on_other_data_the_paper_gives_the_order_only() -> None:
    wanted = Wanted("table1", methods=("dualcoop", "fedtpg", "fedram", "coop"), points=("10",)).plan()
    result = result_of(wanted, {"dualcoop": 60.0, "fedtpg": 80.0, "fedram": 70.0, "coop": 75.0})
    assert [row.rank for row in result.rows] == [None, 3, 1, 2]
    assert [row.paper_rank for row in result.rows] == [None, 3, 2, 1]
    assert result.correlation["clean"] == pytest.approx(0.5)
    shown = sheet(result, "t")
    assert "mAP, ours − paper" not in shown.headings
    assert "rank" in shown.headings


@settings(deadline=None, max_examples=25)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=30))
def test_reasons_are_data_in_every_format(reason: str) -> None:
    plan = plan_of(("dualcoop",), points=(10,))
    first, *rest = plan.cells()
    result = table_of(plan, [CellResult(first, "failed", reason), *(CellResult(cell, "open") for cell in rest)])
    lines = list(csv.DictReader(io.StringIO(cells_csv(result))))
    assert lines[0]["reason"].lstrip("'") == reason.lstrip("'")
    assert not lines[0]["reason"].startswith(("=", "+", "-", "@"))
    shown = sheet(result, "t")
    table = [line for line in markdown(shown).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert latex(shown).count("\\begin{tabular}") == 1


def test_latex_signs_are_escaped() -> None:
    assert tex("50 % ± 1_2 & $") == "50 \\% $\\pm$ 1\\_2 \\& \\$"


def test_every_published_figure_has_a_row() -> None:
    methods = {row.published for row in method_rows()}
    assert set(TITLES) <= methods
    assert set(PAPER["table4"]["voc2007"]) <= {row.published for row in ablation_rows()}
    for table in ("table1", "table2", "table3"):
        for figures in PAPER[table].values():
            assert set(figures) <= methods


def test_variants_are_rows_of_their_own() -> None:
    keys = {variant: {row.key for row in method_rows(variant=variant)} for variant in ("clean", "released", "both")}
    assert "fedmvp-released" in keys["released"] - keys["clean"]
    assert "fedmpt-released" in keys["released"]
    assert keys["both"] == keys["clean"] | keys["released"]
    assert {"zero-shot", "coop", "dualcoop"} <= keys["clean"] & keys["released"]
    assert [row.key for row in method_rows(("fedmvp",), "both")] == ["fedmvp", "fedmvp-released"]
    assert [row.key for row in method_rows(("fedmvp",))] == ["fedmvp"]
    assert [row.key for row in method_rows(("fedmvp-released",))] == ["fedmvp-released"]
    with pytest.raises(TrainerError, match="fedmvvp"):
        method_rows(("fedmvvp",))


def test_cells_have_the_settings_of_their_place_and_the_users_win() -> None:
    plan = Wanted("table2", methods=("dualcoop",), seeds=2, given={"federation.rounds": 3}).plan()
    cell = plan.cells()[-1]
    assert cell.settings.data.mask.rate == 0.9
    assert cell.settings.federation.rounds == 3
    assert cell.settings.seeds.initial == cell.settings.data.seed == 1
    real = Wanted("table1", "voc2007", methods=("fedmpt",)).plan().cells()
    assert [cell.point for cell in real] == list(range(10, 101, 10))
    assert real[0].settings.optimiser.name == "sgd"
    assert real[0].settings.federation.rounds == 50
    assert real[0].settings.method.matching == "transport"  # type: ignore[union-attr]


def test_tuning_asks_for_images_that_the_table_does_not_have_and_the_users_settings_win(tmp_path: Path) -> None:
    asked: dict[str, RunConfig] = {}

    def tuner(
        config: RunConfig, bank: Path | None, tries: int, folder: Path, options: Options | None = None
    ) -> dict[str, Any]:
        assert tries == 3
        assert folder.parent.is_dir()
        asked[folder.name] = config
        return {"optimiser.learning_rate": 0.02, "optimiser.momentum": 0.5}

    given_by_user = {"optimiser.momentum": 0.7}
    wanted = Wanted("table1", methods=("zero-shot", "coop"), seeds=2, out=tmp_path, given=given_by_user)
    plan = with_tuned_rows(wanted.plan(), 3, tuner, Options())
    (config,) = asked.values()  # zero-shot trains nothing
    assert config.data.seed not in plan.seeds
    assert config.data.partition.share == 0.5
    rates = {cell.row.key: cell.settings.optimiser.learning_rate for cell in plan.cells()}
    assert rates == {"zero-shot": 0.01, "coop": 0.02}
    assert {cell.settings.optimiser.momentum for cell in plan.cells()} == {0.7}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted("table9"), "table1"),
        (Wanted("table3", "voc2007"), "not defined for voc2007"),
        (Wanted("table1", points=("ten",)), "per cent"),
        (Wanted("table4", points=("10",)), "nothing changes"),
        (Wanted("table4", methods=("adaptors",)), "adapters"),
        (Wanted("table1", preset="papers"), "paper"),
        (Wanted("table1", given={"seeds.initial": 3}), "--seeds"),
        (Wanted("table1", given={"method.rank": 3}), "row zero-shot: settings: 'method.rank'"),
    ],
)
def test_wrong_wishes_are_named(wanted: Wanted, message: str) -> None:
    with pytest.raises(TrainerError, match=message):
        wanted.plan().cells()


def test_a_method_is_beside_its_published_program() -> None:
    wanted = Wanted("table1", methods=("fedtpg", "coop"), variant="both", points=("10",)).plan()
    shown = sheet(result_of(wanted, {"fedtpg": 80.0, "fedtpg-released": 77.5, "coop": 60.0}), "t")
    place = shown.headings.index("clean − released")
    assert {line.key: line.values[place] for line in shown.lines} == {
        "coop": "–",
        "fedtpg": "+2.5",
        "fedtpg-released": "–",
    }


def test_methods_that_the_bank_cannot_serve_are_left_out_by_name() -> None:
    """Unless they are asked for: then their cells fail with the reason."""
    everything = Wanted("sites").plan()
    assert "fedmvp-attributes" not in {row.method for row in everything.rows}
    assert everything.left_out == ("fedmvp-attributes",)
    notes = sheet(result_of(everything, dict.fromkeys((row.key for row in everything.rows), 1.0)), "t").notes
    assert any("mine-attributes" in note for note in notes)
    assert [row.method for row in Wanted("sites", methods=("fedmvp-attributes",)).plan().rows] == ["fedmvp-attributes"]


def test_spurious_activation_is_averaged_over_the_points_that_have_it() -> None:
    """Small clients tie no labels together: their cells have no value, which is no missing cell."""
    plan = plan_of(("dualcoop",))
    results = [
        CellResult(cell, "done", "", dict.fromkeys(SOURCES, 50.0) | {"spurious": None if cell.point == 50 else 2.0})
        for cell in plan.cells()
    ]
    (row,) = table_of(plan, results).rows
    assert row.averages["spurious"] is not None
    assert (row.averages["spurious"].mean, row.averages["spurious"].seeds) == (2.0, 2)
    (row,) = table_of(plan, results[:-1]).rows
    assert row.averages["spurious"] is not None
    assert row.averages["spurious"].seeds == 1
