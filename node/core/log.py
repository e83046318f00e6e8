"""Logging: structlog events with a constant name and facts as keywords, to stderr.

No patient data goes into an event: studies, series and jobs are named by UID or key.
"""

import logging
import sys
import traceback
import warnings
from pathlib import Path
from typing import Literal, cast

import structlog

_PLACES = 6


def configure(level: str = "info", form: Literal["console", "json"] = "console") -> None:
    """Set the one log of this process: `level` by name, `form` for a terminal or for a collector.

    Warnings of the DICOM libraries are dropped: they quote the values that they warn of, patients' names among them.
    """
    warnings.filterwarnings("ignore", module=r"(pydicom|highdicom|pynetdicom)\b")
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    # Their warnings quote values of headers, which are patient data; highdicom tells of every attribute that it copies.
    for library in ("pydicom", "highdicom"):
        logging.getLogger(library).setLevel(logging.ERROR)
    # pynetdicom logs what peers send; what matters of it is an event of stage 1 or a coded error.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"pydicom\.")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(stage: str) -> structlog.stdlib.BoundLogger:
    """Return a logger whose events carry the name of the stage; it may be made before `configure` is called."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(stage=stage))


def where(error: BaseException) -> list[str]:
    """Return the places that a fault came through, innermost last: files and lines, for an event.

    Neither its message nor its values are told: of a fault that nobody expected, both may hold patient data.
    """
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
