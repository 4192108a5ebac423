"""Fixtures: a browser for all tests of the page, a bank, and a user."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from prompt_bank.schema import SCHEMA_FILE
from tests.browser import chromium
from tests.local_server import Server
from tests.prompt_bank.review.browser import Reviewer
from tests.prompt_bank.review.serving import recorded, served


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return recorded(tmp_path)


@pytest.fixture
def server(bank: Path) -> Iterator[Server]:
    with served(bank) as running:
        yield running


@pytest.fixture
def reviewer(browser: Browser, server: Server) -> Iterator[Reviewer]:
    ada = Reviewer(browser, server)
    yield ada
    assert ada.complaints == []
    assert ada.asked == {f"127.0.0.1:{server.port}"}
    ada.context.close()


@pytest.fixture(scope="package")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shipped bank of COCO's 80 labels; nothing is saved to it."""
    path = tmp_path_factory.mktemp("coco") / "bank.json"
    shutil.copy(SCHEMA_FILE.with_name("coco80.json"), path)
    with served(path) as running:
        yield running
