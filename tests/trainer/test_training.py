"""A run from its folder to its figures on a small drawn world; a run that was cut off goes on to the same bits."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prompt_bank.recording.store import content_hash, dumps
from tests.trainer.tiny import random_clip, small_bank
from trainer.data.base import owners
from trainer.data.partition import partition_hash
from trainer.data.registry import load_dataset
from trainer.errors import RunFailed, TrainerError
from trainer.evaluation.comparison import rows
from trainer.evaluation.measuring import evaluate
from trainer.preparing import Prepared, Reporter, assemble, pick_device, seen_labels
from trainer.resolving import parse_assignment, resolve
from trainer.run.environment import code_revision
from trainer.run.folder import Run
from trainer.run_config import RunConfig
from trainer.train import train

SMALL = {
    "data.sites": 2,
    "data.images_per_site": 12,
    "data.validation_images": 30,
    "data.test_images": 40,
    "federation.rounds": 4,
    "optimiser.batch_size": 5,
    "method.rank": 4,
}
CLIP = random_clip()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def prepared(config: RunConfig, cache: Path) -> Prepared:
    """As `training.prepare`, on the random CLIP."""
    dataset = load_dataset(config.data)
    return assemble(config, dataset, CLIP, small_bank(labels=dataset.label_names), cache, Reporter())


def new_run(folder: Path, **settings: object) -> tuple[Run, RunConfig]:
    config = resolve(overrides={**SMALL, **{key.replace("__", "."): v for key, v in settings.items()}})
    return Run.create(folder, config, None), config


def contents(run: Run) -> dict[str, bytes]:
    kept = [*run.checkpoints().values(), run.folder / "metrics.jsonl"]
    return {path.name: path.read_bytes() for path in kept}


class Cut(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 3])
def test_resume_reaches_the_same_bits(tmp_path: Path, cache: Path, after: int) -> None:
    """From every point at which a run was cut off: between rounds, and with a half-written line of metrics."""
    whole, config = new_run(tmp_path / "whole", federation__participation=0.5)
    train(whole, prepared(config, cache))

    def stop(record: object, figures: object, rounds: int) -> None:
        if len(cut.metrics()) > after:
            raise Cut

    cut, config = new_run(tmp_path / "cut", federation__participation=0.5)
    broken = prepared(config, cache)
    with pytest.raises(Cut):
        train(cut, Prepared(config, broken.dataset, broken.method, cache, Reporter()), after_round=stop)
    with (cut.folder / "metrics.jsonl").open("a") as file:
        file.write('{"rounds": 3, "lo')
    train(cut, prepared(cut.config(), cache))
    assert contents(cut) == contents(whole)
    assert [line["rounds"] for line in cut.metrics()] == [1, 2, 3, 4]


@pytest.mark.parametrize("checkpoint", ["0", "1", "2", "3", "best"])
def test_every_checkpoint_leads_to_the_same_bits(tmp_path: Path, cache: Path, checkpoint: str) -> None:
    run, config = new_run(tmp_path / "run")
    train(run, prepared(config, cache))
    whole = contents(run)
    train(run, prepared(config, cache), checkpoint)
    assert contents(run) == whole


def test_a_run_knows_what_it_rests_on(tmp_path: Path, cache: Path) -> None:
    """Hashes of bank, data, partition and backbone; going on with others is refused, going on as before is not."""
    file = tmp_path / "bank.json"
    config = resolve(overrides=SMALL)
    dataset = load_dataset(config.data)
    bank = small_bank(labels=dataset.label_names)
    file.write_text(dumps(bank))
    run = Run.create(tmp_path / "run", config, file)
    train(run, prepared(config, cache))
    found = run.identity()
    assert found is not None
    assert found["bank"]["hash"] == content_hash(bank)
    assert found["partition"]["clients"] == 2
    assert found["partition"]["hash"] == partition_hash(dataset.train)
    assert found["backbone"]["weights"] == f"sha256:{CLIP.weights_hash}"
    train(run, prepared(config, cache))
    dataset.train.sites[0] = 1 - dataset.train.sites[0]
    moved = assemble(config, dataset, CLIP, bank, cache, Reporter())
    with pytest.raises(TrainerError, match=r"run: partition changed since the run began"):
        train(run, moved)
    with pytest.raises(TrainerError, match=r"backbone changed"):
        train(run, assemble(config, load_dataset(config.data), random_clip(1), bank, cache, Reporter()))


def test_the_codes_commit_is_recorded(tmp_path: Path) -> None:
    run, _ = new_run(tmp_path / "run")
    written = json.loads((run.folder / "environment.json").read_text())["code"]
    assert written == code_revision()
    if (Path(__file__).parents[2] / ".git").exists():
        assert len(written["commit"]) == 40


def test_the_best_and_every_nth_checkpoint_are_kept(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=7, checkpoint_every=3)
    train(run, prepared(config, cache))
    assert sorted(run.checkpoints()) == sorted({0, 3, 6, 7, run.best()})
    assert run.load_checkpoint("best")[0] == run.best()
    scored = {record["rounds"]: record["validation"]["mAP"] for record in run.metrics()}
    assert scored[run.best()] == max(scored.values())


def test_patience_ends_a_run_that_no_longer_improves(tmp_path: Path, cache: Path) -> None:
    """With a learning rate that changes no figure the first round stays the best."""
    run, config = new_run(
        tmp_path / "run", federation__rounds=9, federation__patience=2, optimiser__learning_rate=1e-12
    )
    train(run, prepared(config, cache))
    assert [line["rounds"] for line in run.metrics()] == [1, 2, 3]
    assert {1, 3} <= set(run.checkpoints())
    train(run, prepared(config, cache))
    assert len(run.metrics()) == 3


def test_golden_losses(tmp_path: Path, cache: Path) -> None:
    """Losses of a fixed seed; a refactor must leave them as they are, within rounding of other processors."""
    golden = {
        "shares": [0.896512, 0.789235, 0.686794, 0.635515],
        "softmax": [1.738667, 0.545444, 0.519478, 0.328878],
        "transport": [1.285231, 1.241516, 0.515467, 0.391512],
    }
    for matching, expected in golden.items():
        run, config = new_run(tmp_path / matching, method__matching=matching)
        train(run, prepared(config, cache))
        assert [line["loss"] for line in run.metrics()] == pytest.approx(expected, rel=1e-4), matching


def losses(folder: Path, cache: Path, **settings: object) -> list[float]:
    run, config = new_run(folder, federation__rounds=2, **settings)
    train(run, prepared(config, cache))
    return [line["loss"] for line in run.metrics()]


def final(folder: Path, cache: Path, **settings: object) -> dict[str, torch.Tensor]:
    run, config = new_run(folder, federation__rounds=2, **settings)
    train(run, prepared(config, cache))
    return run.load_checkpoint()[1]


def test_accumulated_batches_are_one_large_batch(tmp_path: Path, cache: Path) -> None:
    """12 images a client: batches of 8 and 4, or of 4, 4 | 4."""
    large = final(tmp_path / "large", cache, optimiser__batch_size=8)
    small = final(tmp_path / "small", cache, optimiser__batch_size=4, optimiser__accumulation=2)
    single = final(tmp_path / "single", cache, optimiser__batch_size=4)
    torch.testing.assert_close(small, large, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(single["class_tokens"], large["class_tokens"], atol=1e-3)


def test_long_gradients_are_shortened(tmp_path: Path, cache: Path) -> None:
    """One SGD step of rate 1 without momentum moves the parameters by the norm that is allowed."""
    settings: dict[str, object] = {"federation__rounds": 1, "optimiser__batch_size": 50, "data__sites": 1}
    settings |= {"optimiser__name": "sgd", "optimiser__learning_rate": 1.0, "optimiser__momentum": 0.0}
    run, config = new_run(tmp_path / "run", **settings, optimiser__clip_norm=0.01, optimiser__weight_decay=0)
    train(run, prepared(config, cache))
    before, after = run.load_checkpoint("0")[1], run.load_checkpoint("1")[1]
    moved = torch.cat([(after[name] - before[name]).flatten() for name in before])
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_trains_alike(tmp_path: Path, cache: Path, precision: str) -> None:
    exact = losses(tmp_path / "exact", cache)
    reduced = losses(tmp_path / "reduced", cache, compute__precision=precision)
    assert reduced == pytest.approx(exact, rel=0.02)
    assert reduced != exact


def test_text_chunks_train_alike(tmp_path: Path, cache: Path) -> None:
    whole = losses(tmp_path / "whole", cache)
    assert losses(tmp_path / "chunks", cache, compute__text_chunk=5) == pytest.approx(whole, rel=1e-4)


def test_a_compiled_loss_trains_alike(tmp_path: Path, cache: Path) -> None:
    plain = losses(tmp_path / "plain", cache, optimiser__batch_size=12)
    assert losses(
        tmp_path / "compiled", cache, optimiser__batch_size=12, compute__compile="aot_eager"
    ) == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize(("wrong", "said"), [(True, r"compiled and uncompiled losses are .* apart"), (False, "no gcc")])
def test_a_compiled_loss_is_checked(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, wrong: bool, said: str
) -> None:
    def compiled(function: Any, backend: str) -> Any:
        def changed(batch: Any) -> torch.Tensor:
            if not wrong:
                raise RuntimeError("there is no gcc\nand much more")
            return 1.002 * function(batch)

        return changed

    monkeypatch.setattr(torch, "compile", compiled)
    run, config = new_run(tmp_path / "run", compute__compile="inductor")
    with pytest.raises(TrainerError, match=said):
        train(run, prepared(config, cache))


def test_deterministic_mode_holds_for_the_rounds_only(tmp_path: Path, cache: Path) -> None:
    seen: list[bool] = []

    def look(*_: object) -> None:
        seen.append(torch.are_deterministic_algorithms_enabled())

    run, config = new_run(tmp_path / "run", federation__rounds=1, compute__deterministic=True)
    ready = prepared(config, cache)
    train(run, Prepared(config, ready.dataset, ready.method, cache, Reporter()), after_round=look)
    assert seen == [True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_gradient_that_is_not_finite_stops_before_the_update(tmp_path: Path, cache: Path) -> None:
    """A finite loss whose slope is not, as the norm of zero has it."""
    run, config = new_run(tmp_path / "run", data__sites=1)
    ready = prepared(config, cache)
    before = ready.method.exchanged()
    honest = ready.method.loss
    ready.method.loss = lambda batch: honest(batch) + (0 * ready.method.class_tokens).sum().abs().sqrt()  # type: ignore[method-assign, union-attr, operator]
    with pytest.raises(RunFailed, match=r"gradient's norm is nan at client 0, round 0, batch 0"):
        train(run, ready)
    assert all(torch.equal(before[name], value) for name, value in ready.method.exchanged().items())


def test_a_pickle_is_no_checkpoint(tmp_path: Path, cache: Path) -> None:
    """Neither under its own name nor under a checkpoint's, and its code does not run."""
    ran: list[int] = []

    class Trap:
        def __reduce__(self) -> Any:
            return ran.append, (1,)

    run, config = new_run(tmp_path / "run", federation__rounds=1)
    train(run, prepared(config, cache))
    for name in ("round-0009.safetensors", "round-0009.pt"):
        (run.folder / "checkpoints" / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(TrainerError, match=r"round-0009\.safetensors: unreadable checkpoint"):
        run.load_checkpoint()
    assert ran == []


def test_training_lowers_the_loss_and_evaluation_is_complete(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=6)
    ready = prepared(config, cache)
    train(run, ready)
    losses = [line["loss"] for line in run.metrics()]
    assert losses[-1] < losses[0]
    result = evaluate(run, ready)
    assert result == json.loads((run.folder / "evaluation.json").read_text())
    assert result["images"] == 40
    assert result["rounds"] == 6
    assert len(result["test"]["average_precision"]) == 24
    best = evaluate(run, ready, "best")
    assert best["rounds"] == max(run.metrics(), key=lambda m: (m["validation"]["mAP"], m["rounds"]))["rounds"]
    with pytest.raises(TrainerError, match="no checkpoint '9'; there are last, best, 0, 1"):
        evaluate(run, ready, "9")


def test_evaluation_covers_labels_clients_and_chance(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=1, evaluation__bootstrap=50)
    ready = prepared(config, cache)
    train(run, ready)
    result = evaluate(run, ready)
    assert [row["label"] for row in result["per_label"]] == list(ready.dataset.label_names)
    low, high = result["intervals"]["mAP"]
    assert 0 < low < high < 100
    assert result["clients"]["images"] == "train"
    assert [row["images"] for row in result["clients"]["each"]] == [12, 12]
    assert result["test_oracle_thresholds"]["OF1"] >= result["test_at_0.5"]["OF1"]
    assert evaluate(run, ready) == result
    lean = config.model_copy(
        update={"evaluation": config.evaluation.model_copy(update={"bootstrap": 0, "clients": False})}
    )
    assert (evaluate(run, prepared(lean, cache))["intervals"], evaluate(run, prepared(lean, cache))["clients"]) == (
        None,
    ) * 2


def test_unseen_labels_reach_neither_training_nor_the_threshold(tmp_path: Path, cache: Path) -> None:
    """Other truths about an unseen label change no bit of what is trained, nor the threshold; its figures differ."""
    states, results = [], []
    for flipped in (False, True):
        run, config = new_run(tmp_path / str(flipped), federation__rounds=2, unseen_labels=["cat", "dog"])
        ready = prepared(config, cache)
        if flipped:
            columns = [ready.dataset.label_names.index(name) for name in config.unseen_labels]
            for split in ready.dataset.splits():
                split.labels[:, columns] = 1 - split.labels[:, columns]
        train(run, ready)
        states.append(contents(run))
        results.append(evaluate(run, ready))
    assert states[0] == states[1]
    assert results[0]["test"]["threshold"] == results[1]["test"]["threshold"]
    assert results[0]["test_seen"] == results[1]["test_seen"]
    assert results[0]["test_unseen"]["mAP"] != results[1]["test_unseen"]["mAP"]
    assert len(results[0]["test_unseen"]["average_precision"]) == 2


def test_unseen_labels_are_checked() -> None:
    assert seen_labels(("a", "b", "c"), ("b",)) == (0, 2)
    assert seen_labels(("a", "b"), ()) is None
    with pytest.raises(TrainerError, match="unseen label 'x' is not known; there are: a, b"):
        seen_labels(("a", "b"), ("x",))
    with pytest.raises(TrainerError, match="fewer than two"):
        seen_labels(("a", "b"), ("a",))


def test_owners_are_the_sites(cache: Path) -> None:
    dataset = load_dataset(resolve(overrides=SMALL).data)
    owned = owners(dataset.train)
    assert [len(o) for o in owned] == [12, 12]
    assert sorted(np.concatenate(owned).tolist()) == list(range(24))


def test_a_loss_that_is_not_finite_stops_before_the_update(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", loss__weight=1e38)
    ready = prepared(config, cache)
    before = ready.method.exchanged()
    with pytest.raises(RunFailed, match=r"client 0, round 0, batch 0"):
        train(run, ready)
    assert all(torch.equal(before[name], value) for name, value in ready.method.exchanged().items())


def test_comparison_refuses_other_images(tmp_path: Path, cache: Path) -> None:
    runs = []
    for name, images in (("a", 40), ("b", 41)):
        run, config = new_run(tmp_path / name, data__test_images=images, federation__rounds=1)
        with pytest.raises(TrainerError, match="not evaluated"):
            rows([run])
        ready = prepared(config, cache)
        train(run, ready)
        evaluate(run, ready)
        runs.append(run)
    assert rows(runs[:1])[0]["mAP"] == runs[0].evaluation()["test"]["mAP"]
    with pytest.raises(TrainerError, match="different test images"):
        rows(runs)


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    new_run(tmp_path / "run")
    with pytest.raises(TrainerError, match="there is a run already"):
        new_run(tmp_path / "run")
    with pytest.raises(TrainerError, match="no run"):
        Run.open(tmp_path)


def test_a_torn_checkpoint_is_named(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=1)
    train(run, prepared(config, cache))
    run.checkpoints()[1].write_bytes(b"\0\0")
    with pytest.raises(TrainerError, match=r"round-0001\.safetensors: unreadable checkpoint"):
        run.load_checkpoint()


def test_device() -> None:
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(TrainerError, match="'cuda:77' is not available"):
        pick_device("cuda:77")


class TestSettings:
    def test_layers(self, tmp_path: Path) -> None:
        """Defaults, then preset, then file, then overrides."""
        file = tmp_path / "f.toml"
        file.write_text("[optimiser]\nlearning_rate = 0.5\n[method]\nrank = 3\n")
        config = resolve(file, "paper", {"method.rank": 7})
        assert config.optimiser.name == "sgd"
        assert config.optimiser.learning_rate == 0.5
        assert config.method.model_dump()["rank"] == 7

    def test_a_preset_of_another_method_leaves_the_chosen_one_alone(self) -> None:
        """The paper's optimiser for CoOp, without FedMPT's own settings; not even PRESETS is touched by it."""
        for _ in range(2):
            config = resolve(preset="paper", overrides={"method.name": "coop"})
            assert (config.method.name, config.optimiser.name) == ("coop", "sgd")
        assert resolve(preset="paper").method.model_dump()["matching"] == "transport"

    def test_a_group_is_no_value(self) -> None:
        with pytest.raises(TrainerError, match=r"write method\.name=coop"):
            resolve(overrides={"method": "coop"})

    def test_round_trip(self) -> None:
        config = resolve(overrides={"method.name": "coop", "method.context_tokens": 4})
        assert RunConfig.model_validate_json(config.model_dump_json()) == config

    def test_all_problems_at_once(self) -> None:
        with pytest.raises(TrainerError) as caught:
            resolve(overrides={"method.rnak": 3, "optimiser.learning_rate": -1})
        assert "'method.rnak' is not a setting" in str(caught.value)
        assert "'optimiser.learning_rate'" in str(caught.value)

    def test_assignments(self) -> None:
        assert parse_assignment("method.adapters=false") == ("method.adapters", False)
        assert parse_assignment("backbone.name=ViT-B-16") == ("backbone.name", "ViT-B-16")
        with pytest.raises(TrainerError, match="key=value"):
            parse_assignment("method.rank")
