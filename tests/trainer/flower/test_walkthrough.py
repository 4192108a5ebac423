"""docs/federation.md for two hospitals and a server: every command, in order; needs the extra."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

import trainer
from prompt_bank.recording.store import record
from prompt_bank.schema import Bank, Condition, Label
from tests.trainer.flower.processes import Processes, free_port
from tests.trainer.flower.test_simulation import with_flower
from trainer.data.base import Split
from trainer.data.registry import load_dataset
from trainer.resolving import resolve
from trainer.run.folder import Run

pytestmark = with_flower
PAGE = Path(trainer.__file__).parents[1] / "docs" / "federation.md"
SMALL = {"data.images_per_site": 12, "data.sites": 2, "data.validation_images": 12, "data.test_images": 12}


def commands(section: str) -> list[str]:
    """The indented lines of a section of the page."""
    text = PAGE.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


def write_table(folder: Path, names: tuple[str, ...], parts: list[tuple[str, Split, list[int]]]) -> None:
    folder.mkdir()
    lines = ["path,labels,split"]
    for kind, split, indices in parts:
        for index in indices:
            found = ";".join(n for n, v in zip(names, split.labels[index], strict=True) if v == 1)
            lines.append(f"{split.ids[index]}.png,{found},{kind}")
            split.image(index).save(folder / f"{split.ids[index]}.png")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def hospitals(tmp_path: Path) -> Path:
    """A folder with public images, those of two hospitals, a list of labels and a bank."""
    world = load_dataset(resolve(overrides=SMALL).data)
    names, train = world.label_names, world.train
    a, b = ([index for index, site in enumerate(train.sites) if site == owner] for owner in (0, 1))
    every = list(range(12))
    for folder, owned in (("public", a[:2]), ("hospital-0", a), ("hospital-1", b)):
        parts = [("train", train, owned), ("validation", world.validation, every), ("test", world.test, every)]
        write_table(tmp_path / folder, names, parts)
    (tmp_path / "labels.txt").write_text("\n".join(names) + "\n")
    conditions = (Condition(id="light", text="lighting"), Condition(id="place", text="location"))
    bank = Bank(name="own", labels=tuple(Label(name=name) for name in names), conditions=conditions)
    record(bank, tmp_path / "bank.json", by="test", did="made")
    shutil.copyfile(tmp_path / "public" / f"{world.test.ids[0]}.png", tmp_path / "photo.jpg")
    return tmp_path


def test_two_hospitals_and_a_server(hospitals: Path) -> None:
    listed, port = commands("Two hospitals and a server"), free_port()
    init, serve, locate, examine, join, report, predict = listed
    init = init.replace("server.example.org", "127.0.0.1").replace("--rounds 20", f"--rounds 1 --port {port}")
    with Processes(hospitals) as processes:
        processes.run(init)
        serving = processes.start(serve)
        processes.wait_for_port(port)
        for client in range(2):
            folder = hospitals / "study" / "sites" / f"client-{client}"
            told = re.fullmatch(r"echo '(.*)' >> site.toml", locate)
            assert told
            with (folder / "site.toml").open("a") as file:
                file.write(told[1].replace("/data/hospital", str(hospitals / f"hospital-{client}")) + "\n")
            processes.run(examine, cwd=folder)
            processes.start(join, cwd=folder)
        assert serving.wait(600) == 0, processes.logs()
        processes.run(report)
        assert processes.run(predict).stdout.strip()
        _check_sites(Run.open(hospitals / "study" / "server" / "run"))
        assert all(shlex.split(line)[0] == "fedmpt" for line in listed if line != locate)


def _check_sites(run: Run) -> None:
    """Both hospitals have the server's test images, so that what they count together is what it measures."""
    sites, test = run.sites(), run.evaluation()["test"]
    assert sites is not None
    assert [row["images"] for row in sites["each"]] == [12, 12]
    assert [row["training_images"] for row in sites["each"]] == [12, 12]
    expected = {name: None if name == "mAP" else test[name] for name in sites["together"]}
    assert sites["together"] == pytest.approx(expected)
    assert "on images of their own that this machine has not seen" in (run.folder / "report.html").read_text()
