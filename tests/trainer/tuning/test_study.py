"""Who takes which try, without training."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.config.space import Choice, SearchSpace, logarithmic
from trainer.errors import TrainerError
from trainer.tuning.study import RANDOM_TRIES, Claim, Study, Try

SPACE: SearchSpace = {"optimiser.learning_rate": logarithmic(1e-3, 1e-1), "method.pooling": Choice(("image", "max"))}


def study(folder: Path, tries: int = 4, seed: int = 0, **defaults: object) -> Study:
    return Study(folder, tries, SPACE, {**dict.fromkeys(SPACE), **defaults}, seed, 3, {"settings": {}})


def end(of: Study, claim: Claim | None, mAP: float = 50.0) -> None:
    assert claim is not None
    of.end(claim, Try(claim.number, "complete", claim.settings, mAP, 3, 1.0))


def test_two_workers_never_have_the_same_try_nor_more_than_all(tmp_path: Path) -> None:
    one, other = study(tmp_path), study(tmp_path)
    claims = [one.claim(), other.claim(), other.claim(), one.claim()]
    assert [claim and claim.number for claim in claims] == [0, 1, 2, 3]
    assert one.claim() is other.claim() is None
    for worker, claim in zip((one, other, other, one), claims, strict=True):
        end(worker, claim)
    assert [done.number for done in one.finished()] == [0, 1, 2, 3]
    assert one.claim() is None
    assert (more := study(tmp_path, 5).claim()) and more.number == 4


def test_the_try_of_a_dead_worker_is_taken_up_with_its_settings(tmp_path: Path) -> None:
    dead, alive = study(tmp_path), study(tmp_path)
    end(dead, dead.claim())
    lost = dead.claim()
    assert lost is not None
    assert (second := alive.claim()) and second.number == 2
    lost.lock.release()  # as the system does when a process dies
    again = alive.claim()
    assert again is not None
    assert (again.number, again.settings) == (lost.number, lost.settings)
    end(alive, again)
    assert [done.number for done in alive.finished()] == [0, 1]


def test_a_worker_that_died_while_it_took_a_try_leaves_none_behind(tmp_path: Path) -> None:
    one = study(tmp_path)
    one._study.enqueue_trial({}, user_attrs={"try": 0})
    assert (claim := study(tmp_path).claim()) and claim.number == 0


def test_random_settings_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    def drawn(folder: Path, seed: int, figure: float) -> list[dict[str, object]]:
        one, found = study(folder, RANDOM_TRIES, seed), []
        while claim := one.claim():
            found.append(claim.settings)
            end(one, claim, figure * claim.number)
        return found

    first = drawn(tmp_path / "a", 0, 1.0)
    assert first == drawn(tmp_path / "b", 0, -1.0)
    assert first[1:] != drawn(tmp_path / "c", 1, 1.0)[1:]
    assert len({str(settings) for settings in first}) == RANDOM_TRIES
    assert first[0] == {}
    for settings in first[1:]:
        assert all(SPACE[key].holds(value) for key, value in settings.items())


def test_a_given_value_outside_of_the_space_is_no_obstacle(tmp_path: Path) -> None:
    one = study(tmp_path, 12, **{"optimiser.learning_rate": 5.0, "method.pooling": "max"})
    while claim := one.claim():
        end(one, claim, claim.number)
    assert len(one.finished()) == 12


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    study(tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(TrainerError, match="damaged"):
        study(tmp_path)
