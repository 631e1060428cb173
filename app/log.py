"""Logs: one line an event, as JSON or for people, and never anybody's data.

What may stand in a log is what we name there: ids, codes, counts, times. Members that could hold a person's data or
a secret are taken out by name, wherever they stand, as the last line of defence.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LEFT_OUT = "(left out)"
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
NOISY = ("uvicorn.access", "asyncio", "aiohttp", "httpx", "httpcore", "alembic")


def configure(form: Literal["auto", "console", "json"] = "auto") -> None:
    """Set up logging for this process, on standard error; `auto` is for people on a terminal and JSON elsewhere."""
    people = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_personal_data,
    ]
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if people
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
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def without_personal_data(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Take out, at every depth, the members whose names may hold people's data or secrets."""
    return {name: LEFT_OUT if name in PERSONAL else _cleaned(value) for name, value in event.items()}


def _cleaned(value: object) -> object:
    if isinstance(value, Mapping):
        return without_personal_data(None, "", dict(value))
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value]
    return value
