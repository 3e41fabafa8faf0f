"""A connection to an LDAP directory (RFC 4511), by python-ldap and OpenLDAP's libldap.

It is opened, protected and bound when it is made. Every step is given what is left of the
question's time and no more: connecting, the TLS handshake, an answer that stops half way. Only a
resolver of host names that does not answer can take longer.

libldap has settings of its own in ldap.conf, ldaprc and the environment. Whatever decides whom to
believe is set for each connection here, so that these do not matter.
"""

import contextlib
import importlib
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol, cast

from extauthz import pem
from extauthz.directory.backend import (
    DirectoryError,
    UnreachableError,
    UnusableAnswerError,
    read_secret,
)
from extauthz.directory.ldap_entries import Entry, attributes
from extauthz.directory.ldap_settings import server
from extauthz.files import FileProblemError, read_text
from extauthz.lookup import LdapDirectory
from extauthz.quoting import printable

__all__ = ["Connection", "ConnectionLostError", "Deadline", "library"]

MAX_ENTRIES = 20
MAX_CA_FILE_OCTETS = 4 * 1024 * 1024
SMALLEST_SECONDS = 0.001
"""libldap takes zero, and what is less, for no timeout at all."""
UNNAMED_TLS_ERROR = "(unknown error code)"
"""What libldap has to say when GnuTLS does not accept a certificate."""


class ConnectionLostError(UnreachableError):
    """Nothing more will come on this connection; on a new one it may."""


class Deadline:
    """When a question must have been answered."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds
        self.missed = f"no answer within {seconds:g} s"

    @property
    def is_over(self) -> bool:
        return self._at - time.monotonic() < SMALLEST_SECONDS

    def left(self) -> float:
        """How many seconds are left. Raises UnreachableError when it is over."""
        if self.is_over:
            raise UnreachableError(self.missed)
        return max(self._at - time.monotonic(), SMALLEST_SECONDS)


class _LdapObject(Protocol):
    """What is used of `ldap.ldapobject.LDAPObject`."""

    def set_option(self, option: int, invalue: float | str) -> object: ...
    def start_tls_s(self) -> object: ...
    def simple_bind_s(self, who: str, cred: str) -> object: ...
    def search_ext_s(  # noqa: PLR0913
        self,
        base: str,
        scope: int,
        filterstr: str,
        attrlist: Sequence[str],
        *,
        timeout: float,
        sizelimit: int,
    ) -> Sequence[tuple[str | None, Entry]]:
        """A continuation reference is a tuple too: of None, and of what is no entry."""

    def unbind_s(self) -> object: ...


class _Filter(Protocol):
    """What is used of `ldap.filter`."""

    def escape_filter_chars(self, assertion_value: str) -> str:
        """Escape what RFC 4515 3 says must be; other UTF-8 may stand as it is."""


class Library(Protocol):
    """What is used of `ldap`, which has no types of its own."""

    CONNECT_ERROR: type[Exception]
    LDAPError: type[Exception]
    NO_SUCH_OBJECT: type[Exception]
    OPT_CONNECT_ASYNC: int
    OPT_NETWORK_TIMEOUT: int
    OPT_REFERRALS: int
    OPT_TIMEOUT: int
    OPT_X_TLS_CACERTDIR: int
    OPT_X_TLS_CACERTFILE: int
    OPT_X_TLS_DEMAND: int
    OPT_X_TLS_NEWCTX: int
    OPT_X_TLS_PROTOCOL_MIN: int
    OPT_X_TLS_PROTOCOL_TLS1_2: int
    OPT_X_TLS_REQUIRE_CERT: int
    OPT_X_TLS_REQUIRE_SAN: int
    SCOPE_SUBTREE: int
    SERVER_DOWN: type[Exception]
    SIZELIMIT_EXCEEDED: type[Exception]
    TIMELIMIT_EXCEEDED: type[Exception]
    TIMEOUT: type[Exception]
    UNAVAILABLE: type[Exception]
    filter: _Filter

    def initialize(self, uri: str) -> _LdapObject:
        """Make a connection of LDAP version 3, which is opened by the first question on it."""


@cache
def library() -> Library:
    """python-ldap, when it is needed. Raises DirectoryError where it is not installed."""
    try:
        module = importlib.import_module("ldap")
        importlib.import_module("ldap.filter")
    except ImportError as error:
        message = "python-ldap is missing: pip install 'extauthz[ldap]', which needs libldap"
        raise DirectoryError(message) from error
    if not hasattr(module, "OPT_X_TLS_REQUIRE_SAN"):
        raise DirectoryError("python-ldap was compiled against a libldap before 2.5")
    return cast("Library", module)


class Connection:
    """Open, protected as the settings say, and bound."""

    def __init__(self, settings: LdapDirectory, deadline: Deadline) -> None:
        """Raises DirectoryError."""
        self._settings = settings
        self._ldap = library()
        self._connection = self._ldap.initialize(server(settings.url).uri)
        try:
            self._open(deadline)
        except BaseException:
            self.close()
            raise

    def search(self, asked: str, deadline: Deadline) -> list[Entry]:
        """The entries below the base that fulfil a filter. Raises DirectoryError."""
        ldap, settings = self._ldap, self._settings
        self._allow(deadline)
        with self._worded("the search", deadline):
            results = self._connection.search_ext_s(
                settings.base,
                ldap.SCOPE_SUBTREE,
                asked,
                attributes(settings),
                timeout=deadline.left(),
                sizelimit=MAX_ENTRIES,
            )
        # What has no DN points to another server, which nobody asks.
        return [entry for dn, entry in results if dn is not None]

    def close(self) -> None:
        with contextlib.suppress(self._ldap.LDAPError):
            self._connection.unbind_s()

    def _open(self, deadline: Deadline) -> None:
        ldap, settings = self._ldap, self._settings
        self._connection.set_option(ldap.OPT_REFERRALS, 0)
        # Without this, libldap waits for the server's part of a TLS handshake in a busy loop and
        # for ever, whatever its timeouts are, and so it does for the end of a half answer.
        self._connection.set_option(ldap.OPT_CONNECT_ASYNC, 1)
        self._allow(deadline)
        if settings.start_tls or server(settings.url).has_tls:
            self._distrust()
        if settings.start_tls:
            with self._worded("StartTLS", deadline):
                self._connection.start_tls_s()
        if settings.bind_dn is not None:
            password = self._password()
            self._allow(deadline)
            with self._worded("the bind", deadline):
                self._connection.simple_bind_s(settings.bind_dn, password)

    def _allow(self, deadline: Deadline) -> None:
        """Let what comes next take what is left of the time."""
        left = deadline.left()
        self._connection.set_option(self._ldap.OPT_NETWORK_TIMEOUT, left)
        self._connection.set_option(self._ldap.OPT_TIMEOUT, left)

    def _distrust(self) -> None:
        """Accept a certificate of the given CAs for the given host (RFC 4513 3.1.3) alone."""
        ldap, ca_file = self._ldap, self._settings.ca_file
        cas = _system_cas() if ca_file is None else _checked(ca_file)
        is_directory = Path(cas).is_dir()
        for option, value in (
            (ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND),
            (ldap.OPT_X_TLS_REQUIRE_SAN, ldap.OPT_X_TLS_DEMAND),
            (ldap.OPT_X_TLS_PROTOCOL_MIN, ldap.OPT_X_TLS_PROTOCOL_TLS1_2),
            (ldap.OPT_X_TLS_CACERTDIR if is_directory else ldap.OPT_X_TLS_CACERTFILE, cas),
            # The last one: it is what gives effect to the others.
            (ldap.OPT_X_TLS_NEWCTX, 0),
        ):
            try:
                self._connection.set_option(option, value)
            except ValueError as error:
                raise DirectoryError(f"the CAs in {cas} cannot be used") from error

    def _password(self) -> str:
        """The password as it is now."""
        password = "" if self._settings.password is None else read_secret(self._settings.password)
        if not password:
            raise DirectoryError("the password is empty, which would bind as nobody")
        try:
            password.encode()
        except UnicodeEncodeError as error:
            raise DirectoryError("the password is not text in UTF-8") from error
        return password

    @contextmanager
    def _worded(self, step: str, deadline: Deadline) -> Iterator[None]:
        """Turn python-ldap's errors into ours. What a server wrote into them is not repeated."""
        ldap = self._ldap
        try:
            yield
        except ldap.TIMEOUT as error:
            raise ConnectionLostError(deadline.missed) from error
        except (ldap.SERVER_DOWN, ldap.CONNECT_ERROR) as error:
            if deadline.is_over:
                raise ConnectionLostError(deadline.missed) from error
            raise self._no_connection(error) from error
        except ldap.UNAVAILABLE as error:
            raise ConnectionLostError(_refusal(step, error)) from error
        except ldap.TIMELIMIT_EXCEEDED as error:
            raise UnreachableError(deadline.missed) from error
        except ldap.SIZELIMIT_EXCEEDED as error:
            raise UnusableAnswerError(f"it finds more than {MAX_ENTRIES} entries") from error
        except ldap.NO_SUCH_OBJECT as error:
            message = f"there is no {self._settings.base}, or extauthz may not see it"
            raise DirectoryError(message) from error
        except ldap.LDAPError as error:
            raise DirectoryError(_refusal(step, error)) from error

    def _no_connection(self, error: Exception) -> DirectoryError:
        """The words are libldap's own, the operating system's or the TLS library's."""
        why = _said(error, "info") or _said(error, "desc") or type(error).__name__
        if why != UNNAMED_TLS_ERROR and "certificate" not in why:
            return ConnectionLostError(f"no connection: {why}")
        ca, host = self._settings.ca_file or "the system", server(self._settings.url).host
        return DirectoryError(
            f"its TLS certificate is not accepted: it must be of a CA in {ca}, and for {host}"
        )


def _refusal(step: str, error: Exception) -> str:
    """By libldap's name of the code: what the server says of it may have a login in it."""
    what = _said(error, "desc") or type(error).__name__
    return f"it refuses {step}: {what[:1].lower()}{what[1:]}"


def _said(error: Exception, field: str) -> str | None:
    """What libldap says of an error."""
    details = error.args[0] if error.args else None
    said = details.get(field) if isinstance(details, dict) else None
    return printable(said) if isinstance(said, str) and said else None


def _checked(ca_file: str) -> str:
    """The path of a file that has CA certificates. libldap would not say what is wrong with it."""
    try:
        blocks = pem.in_file(read_text(Path(ca_file), MAX_CA_FILE_OCTETS))
    except FileProblemError as error:
        raise DirectoryError(f"the CA file {ca_file} {error}") from error
    except pem.PemError as error:
        raise DirectoryError(f"in the CA file {ca_file}: {error}") from error
    if not any(block.label == "CERTIFICATE" for block in blocks):
        raise DirectoryError(f"in the CA file {ca_file} there is no certificate")
    return ca_file


def _system_cas() -> str:
    """File or directory of the CAs that this system trusts, where Python finds them."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return paths.cafile
    # Debian has all of them in one file as well, which is read in a fraction of the time.
    directory = paths.capath or "/etc/ssl/certs"
    bundle = Path(directory) / "ca-certificates.crt"
    return str(bundle) if bundle.is_file() else directory
