"""Log lines of all processes: on stderr, one line an entry, as JSON or as text, and without secrets.

No secret is handed to a logger in the first place; the filter here is the second net. It drops the values of fields
and of `name=value` words whose names are those of secrets, and what follows `Basic` and `Bearer`.
"""

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from privyseal.model.secret_names import without_secrets

FORMATS = ("json", "text")
REQUEST: ContextVar[str] = ContextVar("request", default="")
"""The id of the request that is being answered; every line and every problem document of it has it."""

_HIDDEN = "[hidden]"
_WORDS = re.compile(
    r"""(?ix) \b(password|passphrase|pin|ticket|secret|authorization|idempotency-key) (["']? \s* [=:] \s*)
        ( "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | (?:basic|bearer)\s+\S+ | [^\s,;}\]]+ )"""
)
_CREDENTIALS = re.compile(r"(?i)\b(basic|bearer)\s+[A-Za-z0-9+/_.~-]{8,}=*")

_TOKENS = re.compile(r"privyseal_[0-9A-Za-z]{17,}")


def redacted(text: str) -> str:
    """Give a text without what looks like a secret."""
    text = _TOKENS.sub(_HIDDEN, text)
    return _CREDENTIALS.sub(rf"\1 {_HIDDEN}", _WORDS.sub(rf"\1\2{_HIDDEN}", text))


class TextFormatter(logging.Formatter):
    """`logger: message`, for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one entry; a traceback takes further lines."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return redacted("\n".join([f"{record.name}: {_one_line(record.getMessage())}{fields}", *_trace(record)]))


class JSONFormatter(logging.Formatter):
    """One JSON object a line, for machines."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Write one entry."""
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        document |= {
            name: redacted(value) if isinstance(value, str) else value for name, value in _fields(record).items()
        }
        if trace := _trace(record):
            document["trace"] = redacted("\n".join(trace))
        return json.dumps(document, ensure_ascii=False, default=repr)


def set_up(form: str | None, process: str) -> None:
    """Let this process log to stderr.

    Args:
        form: `json`, `text`, or None for text on a terminal and JSON elsewhere.
        process: `supervisor`, `keeper` or `worker`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter() if format_of(form) == "text" else JSONFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("privyseal").setLevel(logging.INFO)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def format_of(form: str | None) -> str:
    """Give the form that is meant by leaving it open."""
    return form or ("text" if sys.stderr.isatty() else "json")


def access(log: logging.Logger, method: str, path: str, status: int, peer: str, nanoseconds: int) -> None:
    """Log a request that was answered. The query and all headers are left out."""
    fields = {"method": method, "path": path, "status": status, "peer": peer, "ms": round(nanoseconds / 1e6, 3)}
    log.info("answered", extra={"fields": fields})


def request_ids() -> Callable[[str], str]:
    """Give a maker of request ids: what a caller sent if that is a short plain word, else a new one."""
    prefix, lock, counter = os.urandom(6).hex(), threading.Lock(), 0

    def make(given: str) -> str:
        nonlocal counter
        if given and _PLAIN.fullmatch(given):
            return given
        with lock:
            counter += 1
            return f"{prefix}-{counter:x}"

    return make


_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = without_secrets(getattr(record, "fields", {}))
    request = REQUEST.get()
    return {**found, "request": request} if request else found


def _trace(record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    return logging.Formatter().formatException(record.exc_info).split("\n")


def _one_line(message: str) -> str:
    return message.replace("\r", "\\r").replace("\n", "\\n")


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit) or error is None:
        return
    logging.getLogger("privyseal").critical("unexpected %s", kind.__name__, exc_info=(kind, error, trace))
