"""The web layer in front of flows that are played by `tests.web.stage`, or of the real ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, sync_playwright

from tests.programs import require
from tests.system.world import World, make_world
from tests.web.stage import Stage
from tests.web.visitor import Visitor, new_visitor

SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage.set_up(monkeypatch)


@pytest.fixture
def app(stage: Stage) -> Flask:
    return stage.app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The real flows, for all tests of a module: each has a customer of its own."""
    folder = tmp_path_factory.mktemp("world")
    world = make_world(folder, f"sqlite:///{folder}/tenantry.db")
    yield world
    world.service.database.close()


@pytest.fixture
def visitor(world: World) -> Visitor:
    """A customer who has just signed up and is logged in."""
    return new_visitor(world)
