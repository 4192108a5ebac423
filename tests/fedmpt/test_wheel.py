"""The wheel holds everything that the commands need, and the command works where it alone is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("fedmpt", "condition_miner", "prompt_bank", "trainer")
SMALL = ("data.sites=2", "data.images_per_site=12", "data.validation_images=24", "data.test_images=24")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this checkout, with the build backend that is installed here: nothing is fetched."""
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("wheel")
    words = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(out), str(ROOT))
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment with the wheel, and this environment's other packages."""
    fresh = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(fresh)], check=True)
    python = fresh / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", str(python), "install", "--no-deps", "--no-index")
    subprocess.run([*pip, str(wheel)], check=True)
    # Only now, or pip would take the checkout's editable installation for the one to replace.
    site = Path(sysconfig.get_path("purelib", vars={"base": str(fresh), "platbase": str(fresh)}))
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return fresh / "bin"


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    hidden = ("PYTHONPATH", "OPENAI_BASE_URL", "FEDMPT_CACHE_DIR")
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return subprocess.run(words, cwd=cwd, env=kept, capture_output=True, text=True, check=False, timeout=300)


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    held = set(ZipFile(wheel).namelist())
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    expected = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    expected |= {f"condition_miner/templates/{path.name}" for path in (ROOT / "templates").iterdir()}
    assert len(expected) > 300
    assert expected - held == set()
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/", "docs/"))]


def test_the_demo_runs_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    where = run(str(installed / "python"), "-c", "import trainer; print(trainer.__file__)", cwd=tmp_path)
    assert where.stdout.startswith(str(installed.parent)), where.stderr
    small = [word for setting in SMALL for word in ("--set", setting)]
    done = run(str(installed / "fedmpt"), "demo", "--rounds", "1", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = Path(done.stdout.strip().splitlines()[-1])
    assert (tmp_path / report).stat().st_size > 10_000


def test_settings_and_templates_are_found(installed: Path, tmp_path: Path) -> None:
    done = run(str(installed / "fedmpt"), "settings", "rank", cwd=tmp_path)
    assert "method.rank" in done.stdout, done.stderr
    done = run(str(installed / "fedmpt"), "templates", "list", cwd=tmp_path)
    assert "describe" in done.stdout, done.stderr
