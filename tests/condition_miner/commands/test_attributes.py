"""mine-attributes against a scripted server: what is kept, what people decide, and the way to a trained model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.appearance import parse_attributes
from prompt_bank.recording.store import load
from tests.condition_miner.server import Server
from tests.condition_miner.shell import Shell
from trainer.data.scenes.objects import CLASSES


def attributes(path: Path) -> dict[str, tuple[str, ...]]:
    return {label.name: label.attributes for label in load(path).bank.labels}


def test_labels_become_a_bank_with_attributes(shell: Shell, server: Server) -> None:
    done = shell.run("mine-attributes", "--labels", "labels.txt", "--base-url", server.url)
    assert done.code == 0, done.err
    loaded = load(shell.folder / "attributes.json")
    assert attributes(shell.folder / "attributes.json")["cat"] == ("Blue cat", "long tail", "a soft back")
    own = loaded.bank.provenance.parameters["attributes"]
    assert (own["model"], own["requests"], loaded.bank.provenance.requests) == ("tiny", 4, 4)
    again = shell.run("mine-attributes", "--labels", "labels.txt", "--offline", "--model", "tiny", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["requests_sent"] == 0 and json.loads(again.out)["revision"] == 1


def test_a_dry_run_counts_what_it_would_ask(shell: Shell, server: Server) -> None:
    done = shell.run("mine-attributes", "--labels", "labels.txt", "--base-url", server.url, "--dry-run", "--json")
    assert json.loads(done.out)["requests"] == 4 and not server.bodies


def test_people_and_conditions_keep_what_they_have(shell: Shell, server: Server) -> None:
    """Attributes are added to a bank of conditions, a person's stay, and mining conditions again keeps them all."""
    assert shell.mine(server, "--stages", "describe,explain,abstract").code == 0
    path = shell.folder / "bank.json"
    conditions = load(path).bank.conditions
    adds = ("mine-attributes", "--bank", "bank.json", "--base-url", server.url)
    assert shell.run(*adds).code == 0
    assert load(path).bank.conditions == conditions and load(path).bank.revision == 2
    path.write_text(path.read_text().replace('"Blue sofa"', '"three cushions"'))
    assert shell.run(*adds, "--seed", "1").code == 0
    told = {label.name: label for label in load(path).bank.labels}
    assert told["sofa"].attributes[0] == "three cushions" and told["sofa"].attributes_edited
    assert told["cat"].attributes[0] == "Blue cat" and not told["cat"].attributes_edited
    before = attributes(path)
    assert shell.mine(server, "--from-stage", "abstract", "--stages", "abstract").code == 0
    assert attributes(path) == before and "attributes" in load(path).bank.provenance.parameters


@pytest.mark.parametrize(
    "answer", ["no", "{}", '{"attributes": ["shape", "cat", "cats"]}', '{"attributes": ["\\u202ered", "a", "b"]}']
)
def test_useless_answers_are_asked_again(answer: str) -> None:
    with pytest.raises(InvalidAnswer):
        parse_attributes(answer, ["cat"], 5)


def test_labels_or_a_bank_must_be_given(shell: Shell) -> None:
    done = shell.run("mine-attributes")
    assert done.code == 2 and "--labels FILE" in done.err


def test_from_the_question_to_a_measured_model(shell: Shell, server: Server) -> None:
    (shell.folder / "scenes.txt").write_text("\n".join(CLASSES))
    mined = shell.run("mine-attributes", "--labels", "scenes.txt", "--out", "b.json", "--base-url", server.url)
    assert mined.code == 0, mined.err
    small = ["data.sites=2", "data.images_per_site=6", "data.validation_images=8", "data.test_images=8"]
    small += ["federation.rounds=1", "optimiser.batch_size=6", "evaluation.bootstrap=20"]
    words = [word for setting in small for word in ("--set", setting)]
    train = ("train", "--method", "fedmvp-attributes", *words)
    bare = shell.run(*train, "--bank", str(Path("b.json").name), "--out", "run")
    assert bare.code == 0, bare.err
    assert shell.run("evaluate", "run").code == 0


def test_a_bank_without_attributes_says_what_to_do(shell: Shell) -> None:
    labels = [{"name": name} for name in CLASSES]
    (shell.folder / "b.json").write_text(json.dumps({"format": 2, "name": "b", "labels": labels}))
    done = shell.run("train", "--method", "fedmvp-attributes", "--bank", "b.json", "--out", "run")
    assert done.code == 2 and "fedmpt mine-attributes --bank" in done.err
