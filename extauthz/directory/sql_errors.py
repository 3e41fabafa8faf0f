"""What the drivers of databases say went wrong, as far as an operator's log may have it.

A driver's own words are repeated only where they speak of names in the query, of the connection or
of rights. Those about data may quote the login, which is hostile input, in a form that cannot be
recognised: cut off, or with its quotes doubled. Of such errors only the name is repeated.
"""

import os
import sqlite3
import ssl

from extauthz.quoting import printable

__all__ = ["cannot_exist", "origin", "why"]

MAX_MESSAGE = 300

_SPEAKING_CLASSES = frozenset({"08", "25", "28", "3D", "3F", "42", "53", "55", "57", "58"})
"""Classes of PostgreSQL's SQLSTATE whose messages have no data in them."""
_SPEAKING_NUMBERS = frozenset({
    1040, 1044, 1045, 1049, 1054, 1060, 1129, 1130, 1142, 1143, 1146, 1203, 1226, 1227, 1356, 1370,
    1698, 1792, 1820, 1969, 2003, 2006, 2013, 2026, 2059, 3024, 3118, 3159,
})  # fmt: skip
"""Those of the errors of MySQL and MariaDB."""
_SPEAKING_MESSAGES = (
    "ambiguous column name", "attempt to write a readonly", "database ", "disk I/O error",
    "file is not a database", "incomplete input", "near ", "no such ", "unable to open",
)  # fmt: skip
"""How those of SQLite begin."""
_SYNTAX_ERROR = 1064
"""MySQL quotes the statement there, with what was asked in it."""
_ILLEGAL_MIX = 1267
"""MySQL has no octets for a character in the character set of a column."""
_NO_EQUIVALENT = "22P05"
"""PostgreSQL has none in that of the database."""
_NOT_OF_TYPE = frozenset({"22P02", "22003", "22007", "22008"})
"""PostgreSQL cannot make a number, a UUID or a date of a text."""


def origin(error: BaseException) -> BaseException:
    """What went wrong first, below what was made of it."""
    while error.__cause__ is not None and not isinstance(error.__cause__, EOFError):
        error = error.__cause__
    return error


def cannot_exist(error: BaseException, value: str) -> bool:
    """Whether the database has no account with the value because it could not even hold it.

    It would be a failure otherwise that every client can bring about with a login.
    """
    state = getattr(error, "sqlstate", None)
    if isinstance(error, sqlite3.Error) or not error.args:
        return False
    if error.args[0] == _ILLEGAL_MIX:
        # With `COERCIBLE` it is about a value, and not about two columns.
        return not value.isascii() and "COERCIBLE" in str(error)
    if state in _NOT_OF_TYPE:
        return f'"{value}"' in str(error)
    return state == _NO_EQUIVALENT and not value.isascii()


def why(error: BaseException, value: str) -> str:
    """Why nothing was answered, in one line without what was asked."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not accepted: {error.verify_message}"
    if isinstance(error, OSError):
        # asyncio's and ssl's own errors have numbers that are none of the system's.
        is_of_system = error.errno is not None and error.errno > 0
        is_of_system = is_of_system and not isinstance(error, ssl.SSLError)
        text = os.strerror(error.errno or 0) if is_of_system else str(error.strerror or error)
    else:
        text = _words(error)
    if not text.strip() or value in text:
        return type(error).__name__
    return printable(text.strip().splitlines()[0])[:MAX_MESSAGE]


def _words(error: BaseException) -> str:
    """What a driver says, when that is not about data; otherwise the error's name alone."""
    number = error.args[0] if error.args else None
    state = getattr(error, "sqlstate", None)
    if isinstance(number, int) and len(error.args) > 1:
        if number == _SYNTAX_ERROR:
            return "a syntax error"
        return str(error.args[1]) if number in _SPEAKING_NUMBERS else f"error {number}"
    if isinstance(state, str):
        is_speaking = state[:2] in _SPEAKING_CLASSES
        return str(error) if is_speaking else f"{type(error).__name__} ({state})"
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return str(error) if str(error).startswith(_SPEAKING_MESSAGES) else str(name)
    return type(error).__name__
