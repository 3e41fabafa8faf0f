"""What the engine gave in a cell of an answer, as a value of a known type."""

from datetime import UTC, datetime
from typing import TypeAlias

__all__ = ["Row", "aware", "integer", "text", "texts"]

Row: TypeAlias = tuple[object, ...]


def text(value: object) -> str | None:
    return None if value is None else str(value)


def texts(value: object) -> tuple[str, ...]:
    """Those of a list; NULL is none, as a list or in one."""
    if not isinstance(value, list):
        return ()
    return tuple(str(each) for each in value if each is not None)


def integer(value: object) -> int:
    """A whole number, a sum over nothing included."""
    return 0 if value is None else int(str(value))


def aware(moment: object) -> datetime:
    """A TIMESTAMP, which is UTC."""
    if not isinstance(moment, datetime):
        raise TypeError(moment)
    return moment.replace(tzinfo=UTC)
