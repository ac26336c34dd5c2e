"""The web layer in front of flows that are played by `tests.web.stage`."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.web.stage import Stage


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage.set_up(monkeypatch)


@pytest.fixture
def app(stage: Stage) -> Flask:
    return stage.app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
