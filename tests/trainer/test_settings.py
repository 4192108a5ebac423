"""A run's settings: layers, presets, errors, command-line assignments."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.errors import TrainerError
from trainer.resolving import parse_assignment, resolve
from trainer.run_config import RunConfig


class TestSettings:
    def test_layers(self, tmp_path: Path) -> None:
        """Defaults, then preset, then file, then overrides."""
        file = tmp_path / "f.toml"
        file.write_text("[optimiser]\nlearning_rate = 0.5\n[method]\nrank = 3\n")
        config = resolve(file, "paper-sgd", {"method.rank": 7})
        assert config.optimiser.name == "sgd"
        assert config.optimiser.learning_rate == 0.5
        assert config.method.model_dump()["rank"] == 7

    def test_a_methods_own_defaults_are_the_weakest_layer(self, tmp_path: Path) -> None:
        file = tmp_path / "f.toml"
        file.write_text("[optimiser]\nlearning_rate = 0.5\n")
        fedram = {"method.name": "fedram"}
        assert resolve(overrides={"method.name": "coop"}).optimiser.learning_rate == 0.01
        assert resolve(overrides=fedram).optimiser.learning_rate == 0.001
        assert resolve(overrides=fedram).optimiser.name == "adamw"
        assert resolve(file, overrides=fedram).optimiser.learning_rate == 0.5
        assert resolve(overrides={**fedram, "optimiser.learning_rate": 0.01}).optimiser.learning_rate == 0.01
        assert resolve(preset="paper-sgd", overrides=fedram).optimiser.name == "sgd"

    def test_a_preset_of_another_method_leaves_the_chosen_one_alone(self) -> None:
        """The paper's optimiser for CoOp, without FedMPT's own settings; not even PRESETS is touched by it."""
        for _ in range(2):
            config = resolve(preset="paper-sgd", overrides={"method.name": "coop"})
            assert (config.method.name, config.optimiser.name) == ("coop", "sgd")
        paper, sgd = resolve(preset="paper"), resolve(preset="paper-sgd")
        assert paper.method == sgd.method
        assert paper.method.model_dump()["matching"] == "transport"
        assert (paper.optimiser.name, sgd.optimiser.learning_rate) == ("adamw", 0.001)
        assert paper.federation.rounds == sgd.federation.rounds == 50

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

    def test_settings_that_contradict_each_other(self) -> None:
        with pytest.raises(TrainerError, match=r"cuda-graphs .*accumulation=1"):
            resolve(overrides={"compute.compile": "cuda-graphs", "optimiser.accumulation": 2})

    @pytest.mark.parametrize(
        ("key", "meant"),
        [
            ("method.rnak", "method.rank"),
            ("federation.round", "federation.rounds"),
            ("optimizer.learning_rate", "optimiser"),
            ("data.partition.client", "data.partition.clients"),
            ("rounds", "federation.rounds"),
        ],
    )
    def test_the_nearest_setting_is_named(self, key: str, meant: str) -> None:
        with pytest.raises(TrainerError, match=rf"is not a setting; did you mean '{meant}'\?"):
            resolve(overrides={key: 3})

    def test_the_nearest_method_is_named(self) -> None:
        with pytest.raises(TrainerError, match="method 'fedmppt' is not known; there are: fedmpt"):
            resolve(overrides={"method.name": "fedmppt"})
        with pytest.raises(TrainerError, match="preset 'papr' is not known; there are: paper"):
            resolve(preset="papr")

    @pytest.mark.parametrize(("method", "key"), [("zero-shot", "template"), ("fedmpt", "context_template")])
    def test_a_template_has_a_place_for_the_name(self, method: str, key: str) -> None:
        """Without it every label, or every value, has the same prompt, and the figures are chance."""
        with pytest.raises(TrainerError, match=rf"method\.{key}.*needs \{{\}}"):
            resolve(overrides={"method.name": method, f"method.{key}": "a photo"})
        config = resolve(overrides={"method.name": method, f"method.{key}": "a drawing of {}"})
        assert config.method.model_dump()[key] == "a drawing of {}"
