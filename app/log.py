"""Logging: one line per event, as JSON or for a terminal, without personal data or secrets.

Call sites log ids, codes, counts and times only. As a second safeguard, members whose names suggest personal data or a
secret are replaced, at any depth.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REPLACEMENT = "(left out)"
PERSONAL = frozenset(
    {
        "address",
        "answers",
        "authorization",
        "body",
        "company",
        "cookie",
        "custom",
        "email",
        "emails",
        "fields",
        "first_name",
        "full_name",
        "headers",
        "ip",
        "key",
        "last_name",
        "name",
        "note",
        "password",
        "payload",
        "phone",
        "query",
        "raw",
        "secret",
        "secrets",
        "signature",
        "token",
        "url",
        "value",
    }
)
WARNINGS_ONLY = ("uvicorn.access", "asyncio", "aiohttp", "httpx", "httpcore", "alembic")


def configure(form: Literal["auto", "console", "json"] = "auto") -> None:
    """Set up logging for this process, on standard error; `auto` means console on a terminal and JSON elsewhere."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_personal_data,
    ]
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in WARNINGS_ONLY:
        logging.getLogger(name).setLevel(logging.WARNING)


def without_personal_data(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace, at any depth, the values of members whose names suggest personal data or a secret."""
    return {name: REPLACEMENT if name in PERSONAL else _without_personal_data(value) for name, value in event.items()}


def _without_personal_data(value: object) -> object:
    if isinstance(value, Mapping):
        return without_personal_data(None, "", dict(value))
    if isinstance(value, list | tuple):
        return [_without_personal_data(inner) for inner in value]
    return value
