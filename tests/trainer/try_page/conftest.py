"""Fixtures: a browser for all tests of the page, a model with its server, and a user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import User, chromium
from tests.local_server import TOKEN, Server, serving
from tests.trainer.try_page.models import picture, small_model
from trainer.inference.model import Model
from trainer.try_page.answering import Answerer
from trainer.try_page.server import application


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def model() -> Model:
    return small_model()


@pytest.fixture(scope="package")
def server(model: Model) -> Iterator[Server]:
    with serving(application(Answerer(model), TOKEN)) as running:
        yield running


@pytest.fixture
def user(browser: Browser, server: Server) -> Iterator[User]:
    ada = User(browser, server)
    yield ada
    assert ada.complaints == []
    assert ada.asked == {f"127.0.0.1:{server.port}"}
    ada.context.close()


@pytest.fixture(scope="package")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three pictures: one wider than high, one higher than wide, one square."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for number, size in enumerate([(96, 40), (40, 90), (64, 64)]):
        paths.append(folder / f"photo-{number}.png")
        picture(number, size).save(paths[-1])
    return paths
