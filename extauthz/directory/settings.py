"""What is wrong with the settings of a directory, whether or not it answers today."""

from typing import assert_never

from extauthz.directory import http, ldap_settings, reading, sql
from extauthz.lookup import AccountFile, Directory, HttpDirectory, LdapDirectory, SqlDirectory

__all__ = ["problem_with"]


def problem_with(settings: Directory) -> str | None:
    """What is wrong, for the operator; None when a directory can be asked with these settings."""
    match settings:
        case AccountFile():
            return reading.problem_with(settings)
        case SqlDirectory():
            return sql.problem_with(settings)
        case LdapDirectory():
            return ldap_settings.problem_with(settings)
        case HttpDirectory():
            return http.problem_with(settings)
        case _:
            assert_never(settings)
