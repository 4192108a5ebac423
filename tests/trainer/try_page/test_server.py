"""The server of the page: its answers are the model's, whatever is sent to it, and it keeps nothing."""

from __future__ import annotations

import base64
import io
import json
import re
import struct
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedmpt.common.local_page.security import HEADERS, content_security_policy
from tests.local_server import TOKEN, Server, serving
from tests.trainer.try_page.models import LABELS, content, picture, small_model
from trainer.inference.model import Model
from trainer.methods.coop import CoOpConfig
from trainer.methods.zero_shot import ZeroShotConfig
from trainer.try_page import server as web
from trainer.try_page.answering import LONGEST, Answerer


def send(server: Server, body: bytes) -> tuple[int, Any]:
    status, _, answer = server.send("POST", "/api/picture", body, server.own)
    return status, json.loads(answer)


def answer(server: Server, body: bytes) -> Any:
    status, found = send(server, body)
    assert status == 200, found
    return found


def shown(found: Any) -> Image.Image:
    """The picture of an answer."""
    kind, _, text = found["picture"].partition(",")
    assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_the_model_is_described(model: Model, server: Server) -> None:
    described = server.good("model")
    assert described["labels"] == list(LABELS)
    assert described["conditions"] == ["background", "<b>pose</b>", "light"]
    assert described["threshold"] == model.threshold
    assert described["source"]["run"] == "small"


def test_the_answer_is_the_models_explanation_of_every_label(model: Model, server: Server) -> None:
    image = picture(3, (64, 48))
    found = answer(server, content(image))
    expected = model.explain(image, LABELS)
    assert found["size"] == [64, 48] and found["square"] == [0.125, 0, 0.75, 1]
    np.testing.assert_allclose(found["probabilities"], list(model.predict([image])[0].values()), atol=1e-5)
    assert expected.gate is not None
    np.testing.assert_allclose(found["gate"], list(expected.gate.values()), atol=1e-5)
    np.testing.assert_allclose(np.sum(found["adds"], axis=1) + found["context"], found["logits"], atol=1e-3)
    assert np.ptp(found["gate"]) > 1e-4 and np.ptp(found["adds"], axis=1).min() > 1e-4
    for label, scores in zip(expected.labels, found["scores"], strict=True):
        assert label.conditions is not None
        np.testing.assert_allclose(scores, [share.score for share in label.conditions], atol=1e-5)
    places = found["places"]
    weights = np.frombuffer(base64.b64decode(places["weights"]), np.uint8).reshape(len(LABELS), 4, 4)
    for label, peak, drawn in zip(expected.labels, places["peaks"], weights, strict=True):
        assert label.places is not None
        np.testing.assert_allclose(drawn / 255 * peak, label.places, atol=peak / 255)
        assert drawn.max() == 255


def test_methods_without_conditions_or_places_say_so() -> None:
    with serving(web.application(Answerer(small_model(CoOpConfig(context_tokens=2))), TOKEN)) as server:
        assert server.good("model")["conditions"] is None
        found = answer(server, content(picture()))
    assert [found[key] for key in ("gate", "scores", "adds", "places")] == [None] * 4
    assert "as a whole" in found["places_are"]
    with serving(web.application(Answerer(small_model(ZeroShotConfig())), TOKEN)) as server:
        found = answer(server, content(picture()))
    assert found["gate"] is None and found["places"]["peaks"] == [1] * len(LABELS)


def test_a_phones_picture_is_turned_upright_and_shown_small(server: Server) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = answer(server, content(picture(0, (900, 300)), "JPEG", exif=exif))
    assert found["size"] == [300, 900]
    assert shown(found).height == LONGEST and shown(found).height > shown(found).width


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGBA"), ("PNG", "I;16"), ("GIF", "P"), ("JPEG", "CMYK"), ("WEBP", "RGB"), ("TIFF", "L")]
)
def test_formats_and_modes_are_read_as_predict_reads_them(
    model: Model, server: Server, tmp_path: Path, kind: str, mode: str
) -> None:
    bright = Image.fromarray(256 * np.asarray(picture(5).convert("L"), np.uint16))
    image = bright if mode == "I;16" else picture(5).convert(mode)
    body = content(image, kind)
    path = tmp_path / "picture"
    path.write_bytes(body)
    np.testing.assert_allclose(
        answer(server, body)["probabilities"], list(model.predict([path])[0].values()), atol=1e-5
    )


def png_of(width: int, height: int) -> bytes:
    """A PNG file that claims a size, and has no pixels."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b""), b"IEND"]
    framed = [struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not an image"),
        (b"no image", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not an image"),
        (content(picture(0, (300, 300)))[:-2000], "truncated"),
        (png_of(60_000, 60_000), "too many pixels"),
        (content(Image.new("RGB", (2000, 1))), "too narrow"),
        (content(Image.new("F", (9, 9)), "TIFF"), "floating-point"),
    ],
    ids=["empty", "text", "svg", "eps", "truncated", "bomb", "strip", "float"],
)
def test_what_is_no_picture_is_refused_with_the_reason(server: Server, body: bytes, said: str) -> None:
    status, found = send(server, body)
    assert status == 422 and said in found["problems"][0]["message"]


def test_a_file_over_the_limit_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    body = content(picture())
    monkeypatch.setattr(web, "MAX_PICTURE_BYTES", len(body))
    assert send(server, body)[0] == 200
    monkeypatch.setattr(web, "MAX_PICTURE_BYTES", len(body) - 1)
    assert send(server, body)[0] == 413


def test_requests_at_the_same_time_get_their_own_answers(server: Server) -> None:
    bodies = [content(picture(seed)) for seed in range(12)]
    alone = [answer(server, body)["probabilities"] for body in bodies]
    with ThreadPoolExecutor(6) as pool:
        together = [found["probabilities"] for found in pool.map(lambda body: answer(server, body), bodies)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len({tuple(row) for row in alone}) == len(alone)


def test_nothing_is_written(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer(server, content(picture(0, (3000, 2000)), "TIFF"))
    send(server, b"no image")
    assert list(tmp_path.iterdir()) == []


def test_requests_need_token_host_and_origin(server: Server) -> None:
    body = content(picture())
    for headers in (
        {},
        {**server.own, "Authorization": "Bearer wrong"},
        {**server.own, "Origin": "http://evil.example"},
        {**server.own, "Sec-Fetch-Site": "cross-site"},
        {"Authorization": f"Bearer {TOKEN}"},
    ):
        assert server.send("POST", "/api/picture", body, headers)[0] == 403
    assert server.send("GET", "/api/model", None, {})[0] == 403
    assert server.send("GET", "/", None, {"Host": f"evil.example:{server.port}"})[0] == 400


def test_the_page_is_of_this_server_alone(server: Server) -> None:
    status, headers, page = server.send("GET", "/")
    assert status == 200 and TOKEN.encode() not in page and b"dining table" not in page
    policy = headers["content-security-policy"]
    assert policy == content_security_policy(["data:"]) and "unsafe" not in policy and "connect-src 'self'" in policy
    assert all(headers[name.lower()] == value for name, value in HEADERS.items())
    files = set(re.findall(rb'(?:src|href)="(/static/[^"]+)"', page))
    assert {b"/static/page.js", b"/static/try.css", b"/static/base.css"} <= files
    while files:  # and the scripts that scripts import
        status, _, text = server.send("GET", files.pop().decode())
        assert status == 200 and not re.search(rb"https?://(?!www\.w3\.org/2000/svg)", text)
        files |= {b"/static/" + name for name in re.findall(rb'from "\./([^"]+)"', text)}
    assert not re.search(rb"<script>|<style>| style=| on[a-z]+=", page)
