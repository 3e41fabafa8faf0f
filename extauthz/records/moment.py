"""When something was recorded: an instant as RFC 3339 has it, or with less, but with its offset.

The report's engine (`report.source`) reads times of lines by itself: what is no time for one is
none for the other, and a test holds the two together; but of what is from before 1970 the report
knows nothing, and it can be explained (`--at`). A time without an offset is nobody's: it may have
been written anywhere.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

__all__ = ["Moment"]

_WRITTEN: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])"
)
"""All of a time's text; a day that no calendar has looks like one, too."""


def _written(value: object) -> str:
    """Numbers, too, would be read as times."""
    if not isinstance(value, str) or _WRITTEN.fullmatch(value) is None:
        message = "it is no instant with an offset, as in RFC 3339"
        raise ValueError(message)
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        message = "its offset moves it out of the calendar"
        raise ValueError(message) from error


Moment: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_in_utc)]
"""In UTC, whatever offset it was written with."""
