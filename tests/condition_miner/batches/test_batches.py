"""mine-conditions --batch: requests in files, results in files, and a scripted Batch API."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from condition_miner.batches import service
from tests.condition_miner.server import Handler, Server, completion, good, judgement, serving
from tests.condition_miner.shell import CommandResult, Shell

ANY = ("--base-url", "http://127.0.0.1:9/v1", "--model", "m")
"""An endpoint that nobody is to reach."""


def answered(line: dict[str, Any]) -> dict[str, Any]:
    """The result of a request, as OpenAI and vLLM write it."""
    body = line["body"]
    content = judgement(body) if body.get("logprobs") else completion(good(body))
    response = {"status_code": 200, "request_id": "r", "body": content}
    return {"id": "x", "custom_id": line["custom_id"], "response": response, "error": None}


def refused(line: dict[str, Any], status: int, message: str) -> dict[str, Any]:
    body = {"error": {"message": message}}
    return {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}, "error": None}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, results: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(result) + "\n" for result in results), encoding="utf-8")


def step(shell: Shell, *words: str) -> CommandResult:
    return shell.mine(None, "--batch", "batch", *ANY, *words)


def waiting(shell: Shell) -> list[Path]:
    """Go on with a run; the files of requests for which it waits, empty if it is done."""
    done = step(shell, "--json")
    assert done.code == 0, done.err
    return [shell.folder / one["file"] for one in json.loads(done.out).get("waiting", [])]


def test_stage_by_stage_to_the_bank_of_a_server(shell: Shell, server: Server) -> None:
    """The same conditions and captions as when each request is sent."""
    rounds = 0
    while files := waiting(shell):
        rounds += 1
        for path in files:
            asked = lines(path)
            assert {(one["method"], one["url"]) for one in asked} == {("POST", "/v1/chat/completions")}
            assert {one["body"]["model"] for one in asked} == {"m"}
            write(path.with_name(path.name.replace("requests", "results")), [answered(one) for one in asked])
    assert 5 <= rounds <= 20
    batched = json.loads((shell.folder / "bank.json").read_text())
    server.completing = lambda handler, body: handler.send({"error": {"message": "no completions"}}, 404)
    assert shell.mine(server, "--model", "m", "--out", "sent.json", "--cache-dir", "other").code == 0
    sent = json.loads((shell.folder / "sent.json").read_text())
    for part in ("conditions", "captions", "labels"):
        assert batched[part] == sent[part]
    again = step(shell)
    assert "nothing new" in again.out
    assert "this run" not in again.out
    assert re.search(r"all answers of the bank: \d+ requests", again.out)


def test_the_same_requests_are_written_once(shell: Shell) -> None:
    (first,) = waiting(shell)
    before = first.read_bytes()
    assert waiting(shell) == [first]
    assert first.read_bytes() == before
    said = step(shell).out
    assert f"vllm run-batch -i {first.relative_to(shell.folder)}" in said
    assert not (shell.folder / "bank.json").exists()


def test_what_failed_goes_with_the_next_batch(shell: Shell) -> None:
    """An answer that lacks, one of a server that was busy, and one that is no valid answer, each asked again."""
    (first,) = waiting(shell)
    one, two, three, *rest = lines(first)
    bad = answered(three)
    bad["response"]["body"] = completion("no JSON")
    write(first.with_name("out.jsonl"), [refused(two, 429, "slow down"), bad, *map(answered, rest)])
    (second,) = waiting(shell)
    asked = {line["custom_id"]: line["body"] for line in lines(second)}
    assert len(asked) == 3
    assert {one["custom_id"], two["custom_id"]} < asked.keys()
    (repeated,) = asked.keys() - {one["custom_id"], two["custom_id"]}
    assert asked[repeated]["seed"] != three["body"]["seed"]
    assert "no JSON" in str(asked[repeated]["messages"])


def test_a_parameter_that_is_refused_is_left_out_of_the_next_batch(shell: Shell) -> None:
    (first,) = waiting(shell)
    said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    write(first.with_name("out.jsonl"), [refused(one, 400, said) for one in lines(first)])
    (second,) = waiting(shell)
    bodies = [line["body"] for line in lines(second)]
    assert len(bodies) == len(lines(first))
    assert all("max_completion_tokens" in body and "max_tokens" not in body for body in bodies)


def test_what_fails_in_three_batches_ends_the_run(shell: Shell) -> None:
    (first,) = waiting(shell)
    for number in range(3):
        write(first.with_name(f"out{number}.jsonl"), [refused(one, 500, "broken") for one in lines(first)])
    done = step(shell)
    assert done.code == 1
    assert "broken" in done.err
    assert "batch: a request failed in 3 batches" in done.err
    assert "never awaited" not in done.err


def test_the_words_of_an_engine_that_died_are_shown(shell: Shell) -> None:
    """As vllm run-batch writes them: no body, and the error beside the response."""
    (first,) = waiting(shell)
    died = {"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "code": 500}}
    results = [
        {"custom_id": one["custom_id"], "response": {"status_code": 500, "body": None}, "error": died}
        for one in lines(first)
    ]
    write(first.with_name("out.jsonl"), results)
    done = step(shell)
    assert done.code == 0
    assert "asked again" in done.err
    assert "500 EngineCore encountered an issue" in done.err


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"[]\n", b'{"custom_id": 3}\n', b"[" * 100_000, b'{"custom_id": "x", "response": 7}\n', b"\n\n{"],
)
def test_lines_that_are_no_results_are_passed_over(shell: Shell, content: bytes) -> None:
    (first,) = waiting(shell)
    first.with_name("strange.jsonl").write_bytes(content)
    assert waiting(shell) == [first]


@pytest.mark.parametrize("response", [None, 7, {}, {"status_code": "200"}, {"status_code": 200, "body": []}])
def test_results_of_another_form_are_asked_again(shell: Shell, response: Any) -> None:
    (first,) = waiting(shell)
    strange = [{"custom_id": one["custom_id"], "response": response} for one in lines(first)]
    write(first.with_name("out.jsonl"), strange)
    (second,) = waiting(shell)
    assert lines(second) == lines(first)


def test_options_that_do_not_go_together(shell: Shell) -> None:
    for words in (("--offline",), ("--budget-tokens", "9"), ("--backend", "transformers")):
        done = step(shell, *words)
        assert (done.code, "--batch" in done.err) == (2, True)
    done = shell.mine(None, "--batch", "batch", "--base-url", "http://127.0.0.1:9/v1")
    assert (done.code, "--model" in done.err) == (2, True)
    (shell.folder / "batch").write_text("")
    assert step(shell).code == 2


class BatchHandler(Handler):
    """A Batch API: a batch is completed at the second look."""

    server: BatchServer

    def do_GET(self) -> None:  # noqa: N802
        api, path = self.server, self.path.partition("?")[0].removeprefix("/v1")
        if api.drops and path.startswith("/batches/"):
            api.drops -= 1
            self.connection.close()
        elif path == "/batches":
            self.send({"data": list(api.batches.values())})
        elif path.startswith("/batches/"):
            self.send(api.look(path.rpartition("/")[2]))
        elif path.endswith("/content"):
            self.send(api.files[path.split("/")[2]], kind="application/octet-stream")
        else:
            super().do_GET()

    def do_POST(self) -> None:  # noqa: N802
        content = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/files":
            boundary = self.headers["content-type"].partition("boundary=")[2].encode()
            (part,) = [p for p in content.split(b"--" + boundary) if b'name="file"' in p]
            assert b"batch" in content
            self.send({"id": self.server.keep(part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n").decode())})
        else:
            self.send(self.server.begin(json.loads(content)))


class BatchServer(Server):
    def __init__(self) -> None:
        super().__init__(handler=BatchHandler)
        self.files: dict[str, str] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.looks: dict[str, int] = {}
        self.drops = 0
        self.ends = "completed"

    def keep(self, content: str) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def begin(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {**asked, "id": name, "status": "validating"}
        return self.batches[name]

    def look(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        self.looks[name] = self.looks.get(name, 0) + 1
        if self.looks[name] > 1 and batch["status"] != self.ends:
            asked = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
            batch["status"] = self.ends
            batch["request_counts"] = {"total": len(asked), "completed": len(asked), "failed": 0}
            if self.ends == "completed":
                results = "".join(json.dumps(answered(one)) + "\n" for one in asked)
                batch["output_file_id"] = self.keep(results)
            else:
                batch["errors"] = {"data": [{"message": "the file is \x1b[2J too long"}]}
        return batch


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setattr(service, "POLL_SECONDS", 0.01)
    with serving(BatchServer()) as running:
        assert isinstance(running, BatchServer)
        yield running


def upload(shell: Shell, api: BatchServer) -> CommandResult:
    return shell.mine(api, "--batch", "openai", "--model", "m")


def test_uploaded_batches_go_on_to_the_bank(shell: Shell, api: BatchServer) -> None:
    api.drops = 2
    done = upload(shell, api)
    assert done.code == 0, done.err
    assert "completed, 4 of 4 answered" in done.err
    assert (shell.folder / "bank.json").exists()
    assert not api.bodies
    count = len(api.batches)
    assert upload(shell, api).code == 0
    assert len(api.batches) == count


def test_a_batch_that_was_begun_is_not_paid_twice(
    shell: Shell, api: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends right after the batch was made, before its id is written down."""
    with monkeypatch.context() as patch:
        patch.setattr(service, "write_state", lambda path, content: (_ for _ in ()).throw(KeyboardInterrupt))
        assert upload(shell, api).code == 130
    assert len(api.batches) == 1
    assert upload(shell, api).code == 0
    asked = [batch["metadata"][service.MARK] for batch in api.batches.values()]
    assert len(asked) == len(set(asked))


def test_ctrl_c_leaves_the_batch_at_the_server(shell: Shell, api: BatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(service.asyncio, "sleep", interrupted)
        assert upload(shell, api).code == 130
    assert [batch["status"] for batch in api.batches.values()] == ["validating"]
    began = time.monotonic()
    assert upload(shell, api).code == 0
    assert time.monotonic() - began < 60
    assert sum(batch["input_file_id"] == "file-0" for batch in api.batches.values()) == 1


def test_a_batch_that_fails_says_why(shell: Shell, api: BatchServer) -> None:
    api.ends = "failed"
    done = upload(shell, api)
    assert done.code == 1
    assert "batch_0 failed: the file is [2J too long" in done.err
    api.ends = "completed"
    assert upload(shell, api).code == 0


class NoBatches(Handler):
    def do_GET(self) -> None:  # noqa: N802
        self.send({"error": {"message": "nothing here"}}, 404)


def test_a_server_without_batches(shell: Shell) -> None:
    with serving(Server(handler=NoBatches)) as server:
        done = shell.mine(server, "--batch", "openai", "--model", "m")
    assert done.code == 1
    assert "404 nothing here" in done.err
