"""Times of records, for the engine: UTC without a zone (TIMESTAMP), whatever clock told them.

A time without an offset is none, as it is none for `records.line`: nobody knows when it was.
"""

from typing import Final

__all__ = ["utc"]

_HOUR: Final = r"([01]\d|2[0-3])"
_OF_OURS: Final = rf"\d{{4}}-\d\d-\d\dT{_HOUR}:\d\d:\d\d(\.\d{{1,9}})?Z"
"""As the server writes it, which takes less to read."""
_WITH_OFFSET: Final = (
    rf"\d{{4}}-\d\d-\d\d[Tt ]{_HOUR}:\d\d(:\d\d(\.\d{{1,9}})?)?([Zz]|[+-]{_HOUR}:?[0-5]\d)"
)


def utc(written: str) -> str:
    """A time that a record has (VARCHAR), as a TIMESTAMP; NULL if it is none. Both are SQL."""
    return (
        f"CASE WHEN regexp_full_match({written}, '{_OF_OURS}')"
        f" THEN TRY_CAST({written} AS TIMESTAMP)"
        f" WHEN regexp_full_match({written}, '{_WITH_OFFSET}')"
        f" THEN make_timestamp(epoch_us(TRY_CAST(upper({written}) AS TIMESTAMPTZ))) END"
    )
