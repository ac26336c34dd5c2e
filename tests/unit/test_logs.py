"""Log lines: one event each, of one form, whoever wrote it."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any, Literal

import pytest
import structlog

from tenantry import logs


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_event_is_one_json_object_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    structlog.get_logger().info("tenant.published", customer_id="cust-b", commit="a1")
    (line,) = lines(capsys)
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() is not None
    assert line == {
        "event": "tenant.published",
        "level": "info",
        "customer_id": "cust-b",
        "commit": "a1",
    }


def test_line_breaks_in_values_forge_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    said = 'a\n{"event":"forged"}\u2028b\x85'
    structlog.get_logger().warning("loop.failed", detail=said)
    assert [line["detail"] for line in lines(capsys)] == [said]


def test_exception_is_a_field_of_its_event(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        structlog.get_logger().exception("loop.crashed", loop="mailer")
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["loop"]) == ("loop.crashed", "error", "mailer")
    assert line["exception"].endswith("RuntimeError: boom")


def test_lines_of_libraries_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logging.getLogger("some.library").warning("took %s s", 3)
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("some.library").exception("failed")
    first, second = lines(capsys)
    assert (first["event"], first["level"]) == ("took 3 s", "warning")
    assert "timestamp" in first
    assert second["exception"].endswith("RuntimeError: boom")


def test_what_a_request_is_bound_to_stands_on_its_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json")
    structlog.contextvars.bind_contextvars(request_id="r-1")
    structlog.get_logger().info("a")
    logging.getLogger("some.library").warning("b")
    assert [line["request_id"] for line in lines(capsys)] == ["r-1", "r-1"]


def test_libraries_are_quiet_below_info_and_migrations_below_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("json")
    logging.getLogger("some.library").debug("no")
    logging.getLogger("alembic.runtime").info("no")
    logging.getLogger("alembic.runtime").warning("yes")
    assert [line["event"] for line in lines(capsys)] == ["yes"]


def test_configuring_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logs.configure("json")
    structlog.get_logger().info("once")
    assert [line["event"] for line in lines(capsys)] == ["once"]


def test_what_is_configured_later_holds_for_loggers_in_use(
    capsys: pytest.CaptureFixture[str],
) -> None:
    in_use = structlog.get_logger()
    logs.configure("json")
    in_use.info("a")
    structlog.reset_defaults()
    in_use.info("b")
    captured = capsys.readouterr()
    assert '"event": "a"' in captured.err
    assert "b" in captured.out


@pytest.mark.parametrize("form", ["json", "text"])
def test_trace_shows_no_local_variables(
    capsys: pytest.CaptureFixture[str], form: Literal["json", "text"]
) -> None:
    logs.configure(form)
    password = "yranac"[::-1]
    try:
        raise RuntimeError(f"boom of {len(password)}")
    except RuntimeError:
        structlog.get_logger().exception("loop.crashed")
        logging.getLogger("some.library").exception("failed")
    said = capsys.readouterr().err
    assert said.count("RuntimeError: boom of 6") == 2
    assert "canary" not in said


def test_text_is_for_people_and_colorless_outside_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("text")
    structlog.get_logger().info("tenant.published", customer_id="cust-b")
    said = capsys.readouterr().err
    assert "tenant.published" in said
    assert "customer_id=cust-b" in said
    assert "\x1b" not in said
