"""Memory that was freed, given back to the system: the C library keeps some of it between large arrays.

In and out: nothing. What can go wrong: nothing; another C library than GNU's has no such call, and keeps what it keeps.
Next: `workers.segmentation.resident` does so after each study, which takes a few milliseconds: a process that has run
many of them then holds what it held after the first.
"""

from ctypes import CDLL


def give_back() -> None:
    """Give back what is free."""
    trim = getattr(CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
