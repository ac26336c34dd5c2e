"""Log lines: one event with fixed name and fields each, as JSON or as text for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure(form: str) -> None:
    """Send all log lines, also those of libraries, to standard error; `form` is json or text."""
    steps: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Any
    if form == "json":
        steps.append(structlog.processors.format_exc_info)
        last = structlog.processors.JSONRenderer()
    else:
        # plain: the default shows local variables, and with them secrets (R65)
        last = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*steps, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # a logger that was used once would keep this for ever, whatever is configured after it
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=steps,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)
