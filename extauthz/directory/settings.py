"""What is wrong with the settings of a directory, whether or not it answers today."""

from collections.abc import Iterator
from typing import assert_never

from extauthz.directory import http, ldap_settings, reading, sql
from extauthz.lookup import AccountFile, Directory, HttpDirectory, LdapDirectory, SqlDirectory

__all__ = ["problems_with"]


def problems_with(settings: Directory) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong, for the operator, each with the keys below `accounts` that lead to it.

    Nothing when a directory can be asked with these settings.
    """
    match settings:
        case AccountFile():
            if (why := reading.problem_with(settings)) is not None:
                yield ("file",), why
        case SqlDirectory():
            for key, message in sql.problems_with(settings):
                yield ("sql", key), message
        case LdapDirectory():
            for keys, message in ldap_settings.problems_with(settings):
                yield ("ldap", *keys), message
        case HttpDirectory():
            for key, message in http.problems_with(settings):
                yield ("http", key), message
        case _:
            assert_never(settings)
