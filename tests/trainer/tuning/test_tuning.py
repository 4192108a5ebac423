"""Tuning: the tries, their number, interruption, several processes, and what it may not read."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.small_runs import CLIP, SMALL
from trainer.config.space import Choice, Range, logarithmic
from trainer.data.registry import load_dataset
from trainer.errors import RunFailed, TrainerError
from trainer.methods.registry import method_class, settings_classes
from trainer.preparing import Prepared, Reporter, assemble
from trainer.resolving import changed, resolve
from trainer.run_config import RunConfig
from trainer.tuning import tuning
from trainer.tuning.space import parse_space, space_of
from trainer.tuning.study import COMPLETE_BEFORE_PRUNING
from trainer.tuning.tuning import Tuned, best_settings, tune

COOP = {**{key: value for key, value in SMALL.items() if key != "method.rank"}, "method.name": "coop"}


def config(**more: Any) -> RunConfig:
    return resolve(overrides={**COOP, "federation.rounds": 2, **more})


def ready(settings: RunConfig, cache: Path) -> Prepared:
    return assemble(settings, load_dataset(settings.data), CLIP, None, cache, Reporter())


def tuned(folder: Path, tries: int = 3, settings: RunConfig | None = None, **more: Any) -> Tuned:
    settings = settings or config()
    prepared = more.pop("prepared", None) or ready(settings, folder.parent / "cache")
    return tune(settings, None, tries, folder, prepared=prepared, **more)


def outcome(found: Tuned) -> list[tuple[object, ...]]:
    return [(one.number, one.settings, one.mAP, one.state, one.rounds) for one in found.tries]


def test_the_settings_as_given_are_the_first_try_and_more_tries_go_on(tmp_path: Path) -> None:
    began: list[int] = []
    few = tuned(tmp_path / "a", 2, after_try=lambda done: began.append(done.number))
    more = tuned(tmp_path / "a", 3, after_try=lambda done: began.append(done.number))
    assert began == [0, 1, 2]
    assert outcome(more)[:2] == outcome(few)
    assert more.tries[0].settings == {}
    assert outcome(more) == outcome(tuned(tmp_path / "b", 3))
    assert more.best.mAP == max(one.mAP or 0 for one in more.tries if one.state == "complete")


def test_the_test_split_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config()
    prepared = ready(settings, tmp_path / "cache")
    usual = tuned(tmp_path / "a", prepared=prepared)
    test = prepared.dataset.test
    scrambled = replace(prepared.dataset, test=replace(test, labels=1 - test.labels))
    features = Prepared.features

    def guarded(self: Prepared, split: Any) -> Any:
        assert split.name != "test"
        return features(self, split)

    monkeypatch.setattr(Prepared, "features", guarded)
    assert outcome(tuned(tmp_path / "b", prepared=replace(prepared, dataset=scrambled))) == outcome(usual)


def test_a_try_that_was_cut_off_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = tuned(tmp_path / "a")
    train = tuning.train

    def cut_off(run: Any, prepared: Any, after_round: Any) -> None:
        if run.folder.name == "0001":
            train(run, changed_rounds(prepared), after_round=after_round)
            raise KeyboardInterrupt
        train(run, prepared, after_round=after_round)

    def changed_rounds(prepared: Prepared) -> Prepared:
        return replace(prepared, config=changed(prepared.config, {"federation.rounds": 1}))

    monkeypatch.setattr(tuning, "train", cut_off)
    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path / "b", settings=config(**{"optimiser.schedule": "constant"}))
    monkeypatch.undo()
    again = tuned(tmp_path / "b", settings=config(**{"optimiser.schedule": "constant"}))
    assert [one.number for one in again.tries] == [0, 1, 2]
    assert [one.settings for one in again.tries] == [one.settings for one in undisturbed.tries]
    assert outcome(again) == outcome(tuned(tmp_path / "c", settings=config(**{"optimiser.schedule": "constant"})))


def work(folder: Path, done: Any) -> None:
    import torch

    torch.set_num_threads(1)
    tuned(folder, 4, after_try=lambda one: done.put(one.number))


def test_processes_share_the_tries(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    workers = [context.Process(target=work, args=(tmp_path / "a", done)) for _ in range(2)]
    for worker in workers:
        worker.start()
    numbers = sorted(done.get(timeout=600) for _ in range(4))
    for worker in workers:
        worker.join(600)
        assert worker.exitcode == 0
    assert numbers == [0, 1, 2, 3]
    assert done.empty()
    assert [one.settings for one in tuned(tmp_path / "a", 4).tries] == [
        one.settings for one in tuned(tmp_path / "b", 4).tries
    ]


def test_a_poor_try_is_pruned_and_the_first_never(tmp_path: Path) -> None:
    """Learning rates that ruin the method, after good ones: the later tries end early, but all of them count."""
    rates = {"optimiser.learning_rate": Choice((1e-3, 2e-3))}
    settings = config(**{"federation.rounds": 4, "optimiser.learning_rate": 1e-3})
    prepared = ready(settings, tmp_path / "cache")
    original = tuning.changed

    def ruined(given: RunConfig, values: dict[str, Any]) -> RunConfig:
        ruined.calls += 1  # type: ignore[attr-defined]
        late = ruined.calls > COMPLETE_BEFORE_PRUNING  # type: ignore[attr-defined]
        return original(given, {**values, **({"optimiser.learning_rate": 1e4} if late else {})})

    ruined.calls = 0  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "changed", ruined)
        found = tuned(tmp_path / "a", 5, settings, space=rates, prepared=prepared)
    states = [one.state for one in found.tries]
    assert states[:3] == ["complete"] * 3
    assert set(states[3:]) <= {"pruned", "failed"}
    assert all(one.rounds < 4 for one in found.tries[3:])
    assert found.best.number < 3


def test_a_try_that_fails_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = tuning.train

    def failing(run: Any, prepared: Any, after_round: Any) -> None:
        if run.folder.name == "0001":
            raise RunFailed("the loss is not finite")
        train(run, prepared, after_round=after_round)

    monkeypatch.setattr(tuning, "train", failing)
    found = tuned(tmp_path / "a")
    assert [(one.state, one.reason) for one in found.tries][1] == ("failed", "the loss is not finite")
    assert found.best.number != 1


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    tuned(tmp_path / "a", 1)
    with pytest.raises(TrainerError, match="other settings"):
        tuned(tmp_path / "a", 1, config(**{"loss.weight": 0.5}))
    with pytest.raises(TrainerError, match="other space"):
        tuned(tmp_path / "a", 1, space={"loss.weight": logarithmic(0.01, 0.1)})


def test_zero_shot_has_nothing_to_tune(tmp_path: Path) -> None:
    settings = config(**{"method.name": "zero-shot"})
    prepared = ready(settings, tmp_path / "cache")
    assert best_settings(settings, None, 3, tmp_path / "a", prepared=prepared) == {}
    with pytest.raises(TrainerError, match="nothing to tune"):
        tune(settings, None, 3, tmp_path / "a", prepared=prepared)


@pytest.mark.parametrize("name", sorted(settings_classes()))
def test_every_method_declares_a_space_that_its_settings_allow(name: str) -> None:
    space = space_of(resolve(overrides={"method.name": name}))
    assert "optimiser.learning_rate" in space
    assert 1 <= len(space) <= 3


def test_spaces_follow_the_matching() -> None:
    def keys(matching: str) -> set[str]:
        return set(space_of(resolve(overrides={"method.matching": matching})))

    assert "method.entropy" in keys("transport") - keys("shares")
    assert method_class("fedmpt").search_space(resolve().method)["method.softmax_scale"] == logarithmic(10, 40)


def test_a_space_is_read_and_checked() -> None:
    given = config()
    assert parse_space(["optimiser.batch_size=8:64:log", "loss.weight=1:2", "method.pooling=image,max"], given) == {
        "optimiser.batch_size": Range(8, 64, True),
        "loss.weight": Range(1.0, 2.0),
        "method.pooling": Choice(("image", "max")),
    }
    for wrong in ("x", "loss.weight=", "loss.weight=2:1", "loss.weight=0:1:log", "loss.weight=1:2:lin", "a=b:c"):
        with pytest.raises(TrainerError, match="--space"):
            parse_space([wrong], given)
    for key, end in (("data.seed", 1), ("federation.rounds", 2), ("method.name", "coop")):
        with pytest.raises(TrainerError, match="cannot be tuned"):
            space_of(given, {key: Choice((end,))})
    with pytest.raises(TrainerError, match=r"method\.pooling"):
        space_of(given, {"method.pooling": Choice(("middle",))})
