"""`fedmpt try` as a process, on a run and on its export."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedmpt.cli import build
from tests.local_server import Server as Requests
from tests.local_server import ended, running_command
from tests.trainer.runs import pictures, trained_run
from trainer.inference.export import export
from trainer.inference.load import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and its export."""
    folder = tmp_path_factory.mktemp("try")
    run = trained_run(folder / "run", folder / "cache", method__rank=4)
    export(run, folder / "model")
    return folder


@pytest.mark.parametrize("name", ["run", "model"])
def test_it_answers_until_ctrl_c(folder: Path, name: str, tmp_path: Path) -> None:
    (path,) = pictures(tmp_path, 1)
    with running_command(("try", str(folder / name), "--no-open"), tmp_path) as (process, port, token):
        server = Requests(port)
        own = {**server.own, "Authorization": f"Bearer {token}"}
        status, _, answer = server.send("POST", "/api/picture", path.read_bytes(), own)
        assert status == 200
        expected = load(folder / name).predict([path])[0]
        assert json.loads(answer)["probabilities"] == pytest.approx(list(expected.values()), abs=1e-4)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port))
        code, out, err = ended(process)
    assert (code, err) == (0, "") and token not in out
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_wrong_use_and_a_port_in_use(folder: Path, tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(build("try"), ["try", "--no-open", *words])
        return result.exit_code, result.stderr

    code, said = run(str(tmp_path / "nothing"))
    assert code == 2 and "neither a run nor an exported model" in said
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = run(str(folder / "model"), "--port", port)
    assert code == 1 and f"127.0.0.1:{port}" in said and "in use" in said
