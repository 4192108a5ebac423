"""The `fedmpt` command as a user meets it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from fedmpt.cli import ENTRIES
from tests.trainer.tiny import random_clip

SMALL = (
    *("--set", "data.sites=2", "--set", "data.images_per_site=20"),
    *("--set", "data.validation_images=40", "--set", "data.test_images=60"),
)


def fedmpt(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "FEDMPT_"))}
    return subprocess.run(
        [sys.executable, "-m", "fedmpt", *words],
        cwd=cwd,
        env={**kept, "FEDMPT_CACHE_DIR": str(cwd / "cache"), "COLUMNS": "160", **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo's folder and output, on a small setting."""
    folder = tmp_path_factory.mktemp("demo")
    done = fedmpt("demo", "--out", "d", "--rounds", "2", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_demo_prints_what_it_runs_and_ends_with_the_table(demo: tuple[Path, str]) -> None:
    folder, said = demo
    for command in ("cache import", "mine-conditions --labels", "bank check", "train --bank", "compare", "report"):
        assert f"$ fedmpt {command}" in said
    for method in ("zero-shot", "coop", "fedmpt-transport", "fedmpt"):
        evaluation = json.loads((folder / "d" / method / "evaluation.json").read_text())
        assert f"{evaluation['test']['mAP']:.2f}" in said
    assert said.strip().splitlines()[-1].endswith("report.html")
    assert (folder / "d" / "fedmpt" / "report.html").stat().st_size > 10_000


def test_a_runs_folder_is_complete(demo: tuple[Path, str]) -> None:
    run = demo[0] / "d" / "fedmpt"
    names = {path.relative_to(run).parts[0] for path in run.rglob("*")}
    assert names >= {"config.json", "environment.json", "bank.json", "metrics.jsonl", "checkpoints", "events"}
    assert (run / "bank.json").read_bytes() == (demo[0] / "d" / "bank.json").read_bytes()
    assert list((run / "events").glob("events.out.tfevents*"))
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == [f"round-{i:04d}.safetensors" for i in range(3)]


def test_report_needs_no_network(demo: tuple[Path, str]) -> None:
    page = (demo[0] / "d" / "fedmpt" / "report.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert page.count('src="data:image/png') >= 3


def test_compare_and_evaluate_speak_json(demo: tuple[Path, str]) -> None:
    done = fedmpt("compare", "d/zero-shot", "d/fedmpt", "--json", cwd=demo[0])
    rows = json.loads(done.stdout)
    assert [row["method"] for row in rows] == ["zero-shot", "fedmpt"]
    again = json.loads(fedmpt("evaluate", "d/fedmpt", "--json", cwd=demo[0]).stdout)
    assert again["test"]["mAP"] == rows[1]["mAP"]


def test_resume_of_a_finished_run_changes_nothing(demo: tuple[Path, str]) -> None:
    run = demo[0] / "d" / "coop"
    before = (run / "metrics.jsonl").read_bytes(), (run / "evaluation.json").read_bytes()
    done = fedmpt("train", "--resume", "d/coop", cwd=demo[0])
    assert done.returncode == 0, done.stderr
    assert before == ((run / "metrics.jsonl").read_bytes(), (run / "evaluation.json").read_bytes())


def test_a_hand_edit_reaches_the_training(demo: tuple[Path, str]) -> None:
    """Changed text is noticed, validated and used."""
    folder = demo[0]
    text = (folder / "d" / "bank.json").read_text()
    content = json.loads(text)
    content["conditions"][0]["text"] = "weather"
    content["conditions"][0]["status"] = "accepted"
    (folder / "edited.json").write_text(json.dumps(content, indent=2))
    run = ("train", "--bank", "edited.json", "--rounds", "1", "--out", "e", *SMALL)
    done = fedmpt(*run, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "edited by hand" in done.stderr
    assert "conditions (accepted): weather" in done.stdout
    content["conditions"][0]["text"] = ""
    content["labels"][0]["nmae"] = "x"
    (folder / "edited.json").write_text(json.dumps(content, indent=2))
    done = fedmpt(*run[:-1], "data.seed=1", "--out", "f", cwd=folder)
    assert done.returncode == 2
    assert "conditions[0].text, line" in done.stderr
    assert "labels[0].nmae, line" in done.stderr
    assert not (folder / "f").exists()


def test_a_user_can_bring_an_open_clip_model(tmp_path: Path) -> None:
    """Weights of another model are an error that names a key; nothing starts at random."""
    save_file(random_clip().model.state_dict(), tmp_path / "w.safetensors")
    words = ("train", "--method", "zero-shot", "--backbone", "ViT-S-32-alt")
    done = fedmpt(*words, "--pretrained", "w.safetensors", *SMALL, cwd=tmp_path)
    assert done.returncode == 2
    assert "w.safetensors: the file lacks" in done.stderr
    done = fedmpt("train", "--method", "zero-shot", "--backbone", "ViT-B-16-quickgelu", cwd=tmp_path)
    assert done.returncode == 2
    assert "needs weights" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train",), "needs a prompt bank"),
        (("train", "--method", "fedmtp"), "fedmpt"),
        (("train", "--dataset", "scene"), "there are: scenes"),
        (("train", "--set", "method.rank=0"), "'method.rank'"),
        (("train", "--resume", "nowhere"), "there is no run"),
        (("train", "--bank", "nowhere.json"), "nowhere.json"),
        (("evaluate", "nowhere"), "there is no run"),
        (("compare", "nowhere"), "there is no run"),
    ],
)
def test_mistakes_are_answered_in_a_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = fedmpt(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_every_command_and_imports_no_heavy_module(tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv = ['fedmpt', '--help']\n"
        "from fedmpt.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('HEAVY', [m for m in ('torch', 'numpy', 'openai', 'pydantic', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "HEAVY []" in done.stdout
    assert all(name in done.stdout for name in ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_command_has_help_with_an_example(tmp_path: Path, name: str) -> None:
    done = fedmpt(name, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if name in ("bank", "cache", "templates"):
        assert "COMMAND [ARGS]" in done.stdout
    elif name != "demo":
        assert f"fedmpt {name}" in done.stdout
