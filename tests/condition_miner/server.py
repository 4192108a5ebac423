"""A scripted OpenAI-compatible server on localhost, with real sockets and scripted faults."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from condition_miner.model.dialect import SCHEMA_INSTRUCTION
from condition_miner.model.probing import PROBE_CODES, PROBE_PROMPT

Fault = Callable[["Handler", dict[str, Any]], None]


def completion(text: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion as a server sends it."""
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def schema(body: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a request, from response_format or from its instructions."""
    form = body.get("response_format", {})
    found: dict[str, Any]
    if form.get("type") == "json_schema":
        found = form["json_schema"]["schema"]
    else:
        found = json.loads(body["messages"][0]["content"].split(SCHEMA_INSTRUCTION)[1])
    return found


def is_probe(body: dict[str, Any]) -> bool:
    return PROBE_PROMPT in str(body["messages"][-1]["content"])


CONDITIONS: tuple[str, ...] = ("location", "weather", "time of day", "activity", "object scale")
CONDITIONS += ("mood", "colour", "pose", "light", "crowd")


def good(body: dict[str, Any]) -> str:  # noqa: PLR0911
    """A valid answer to any of the miner's questions: every description is explained by its place and its weather."""
    properties = schema(body)["properties"]
    data = json.loads(re.findall(r"<data>(.*)</data>", body["messages"][1]["content"])[-1])
    if "descriptions" in properties:
        count = properties["descriptions"]["minItems"]
        texts = [f"In place {i} there are {' and '.join(data['objects'])} in the rain." for i in range(count)]
        return json.dumps({"occasions": ["a meeting"] * count, "descriptions": texts})
    if "attributes" in properties:
        seen = [
            f"Blue {data['object']}.",
            "blue " + data["object"],
            data["object"],
            "shape",
            "long tail",
            "a soft back",
        ]
        return json.dumps({"attributes": seen})
    if "conditions" in properties:
        count = properties["conditions"]["minItems"]
        return json.dumps({"conditions": [{"name": n, "definition": f"The {n}."} for n in CONDITIONS[:count]]})
    if "values" in properties:
        chosen = properties["values"]["items"].get("enum", ["house", "street", "Beach."])
        home = HOME.get(str(data.get("object")))
        return json.dumps({"values": [home] if home in chosen else chosen[:3]})
    if "name" in properties:
        return json.dumps({"name": "camera height", "definition": "How high the camera stands."})
    if "factors" in data:
        ids = next(iter(properties.values()))["enum"]
        return json.dumps(dict.fromkeys(properties, "weather" if "weather" in ids else "none"))
    factors = [{"words": "in place", "factor": "location"}, {"words": "in the rain", "factor": "rainfall"}]
    return json.dumps({number: {"factors": factors} for number in properties})


HOME = {"cat": "house", "sofa": "house", "person": "street", "bus": "street"}
"""Where the scripted model believes labels to be."""


def next_tokens(body: dict[str, Any]) -> dict[str, Any]:
    """A completion with log-probabilities, as vLLM sends it: the word of the label's home is the most likely one."""
    prompt = body["prompt"]
    words = [
        "house",
        "street",
        "beach",
        "kitchen",
        "rain",
        *(f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(120)),
    ]
    shown = re.search(r"an? (\w+)", prompt.split(". This one")[-1])
    home = HOME.get(shown[1] if shown else "", "beach")
    spelled = any(prompt.endswith(f" {word}") for word in words)
    tops = {" ": -0.1} if spelled else {}
    tops |= {f" {word}": -1.0 if word == home else -3.0 - 0.02 * place for place, word in enumerate(words)}
    chosen = dict(list(tops.items())[: body["logprobs"]])
    return {
        "choices": [{"index": 0, "text": " x", "finish_reason": "length", "logprobs": {"top_logprobs": [chosen]}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11},
    }


def judgement(body: dict[str, Any]) -> dict[str, Any]:
    """A chat of one token with log-probabilities, as OpenAI sends it: yes where the label is at home."""
    told = [json.loads(data) for data in re.findall(r"<data>(.*)</data>", body["messages"][-1]["content"])]
    usual = len(told) == 2 and HOME.get(told[1]["object"]) == told[0]["answer"]
    tops = [("Yes", -0.1), (" no", -3.0), ("The", -5.0)] if usual else [("no", -0.2), ("Yes", -2.0), ("The", -5.0)]
    content = [{"token": tops[0][0], "top_logprobs": [{"token": t, "logprob": x} for t, x in tops]}]
    answer = completion(tops[0][0], "length")
    answer["choices"][0]["logprobs"] = {"content": content}
    return answer


class Handler(BaseHTTPRequestHandler):
    """Answers requests as the server's script says."""

    server: Server

    def do_GET(self) -> None:
        self.send({"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "prompt" in body:
            self.server.prompts.append(body)
            self.server.completing(self, body)
            return
        if body.get("logprobs"):
            self.server.judged.append(body)
            self.server.judging(self, body)
            return
        if is_probe(body):
            self.server.probes.append(body)
            self.server.probing(self, body)
            return
        with self.server.lock:
            self.server.bodies.append(body)
            fault = self.server.faults.pop(0) if self.server.faults else None
        if self.server.always:
            fault = self.server.always
        if fault:
            fault(self, body)
        else:
            time.sleep(self.server.delay)
            self.send(completion(good(body)))

    def send(self, content: Any, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Silent."""


class Server(ThreadingHTTPServer):
    """Each chat consumes one of `faults`; `always` applies to all. Probes are answered by `probing`.

    Completions are answered by `completing` and kept apart in `prompts`, chats with log-probabilities by `judging`, in
    `judged`.
    """

    daemon_threads = True

    def __init__(self, port: int = 0, handler: type[Handler] = Handler) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.lock = threading.Lock()
        self.bodies: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []
        self.prompts: list[dict[str, Any]] = []
        self.judged: list[dict[str, Any]] = []
        self.judging: Fault = lambda handler, body: handler.send(judgement(body))
        self.completing: Fault = lambda handler, body: handler.send(next_tokens(body))
        self.probing: Fault = text(json.dumps({"hue_code": PROBE_CODES[1]}))
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        self.models = ["tiny"]
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_: Any) -> None:
        """Disconnected clients are expected."""


@contextmanager
def serving(server: Server | None = None) -> Iterator[Server]:
    server = server or Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, **headers: str) -> Fault:
    """An HTTP error."""
    return lambda handler, body: handler.send({"error": {"message": f"status {code}"}}, code, **headers)


def text(content: str | None, finish: str = "stop", **message: Any) -> Fault:
    """A completion with this content."""
    return lambda handler, body: handler.send(completion(content, finish, **message))


def edited(change: Callable[[str], str], finish: str = "stop") -> Fault:
    """A good answer, changed."""
    return lambda handler, body: handler.send(completion(change(good(body)), finish))


def html(handler: Handler, body: dict[str, Any]) -> None:
    """A login page with status 200."""
    handler.send("<html>log in</html>", kind="text/html")


def no_choices(handler: Handler, body: dict[str, Any]) -> None:
    handler.send({**completion("x"), "choices": []})


def no_message(handler: Handler, body: dict[str, Any]) -> None:
    handler.send({**completion("x"), "choices": [{"index": 0, "finish_reason": "stop"}]})


def trickle(handler: Handler, body: dict[str, Any]) -> None:
    """An endless answer, one byte at a time."""
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    for _ in range(30):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def hang(handler: Handler, body: dict[str, Any]) -> None:
    time.sleep(3)


def reset(handler: Handler, body: dict[str, Any]) -> None:
    """The connection is reset in the middle of the body."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id": "x", ')
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
