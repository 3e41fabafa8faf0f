"""What names a user in a certificate and in the accounts, and when two such names are the same.

A subscription says which kind of name it goes by. Each kind has its own type and its own rule of
equality, stated here and nowhere else; `email` has that of addresses. What is not a name of its
kind is None and equals nothing, on either side: names with control characters among them.
"""

import re
import string
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, TypeAlias

from cryptography import x509
from cryptography.x509.oid import NameOID

from extauthz.email import EmailAddress

__all__ = ["DistinguishedName", "Identity", "IdentityKind", "PrincipalName", "Uri", "parse"]

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_SPACES = re.compile(" +")
_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?://(?P<authority>[^/?#]*))?(?P<rest>.*)")
_ATTRIBUTES = {
    "CN": NameOID.COMMON_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "DC": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
    "E": NameOID.EMAIL_ADDRESS,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "SN": NameOID.SURNAME,
    "GN": NameOID.GIVEN_NAME,
    "title": NameOID.TITLE,
}
"""Short names of attributes: those of RFC 4514, section 3, and what OpenSSL writes besides."""
_ATTRIBUTES_IN_ANY_CASE = {
    written: oid
    for short, oid in _ATTRIBUTES.items()
    for written in (short, short.lower(), short.upper())
}


class IdentityKind(StrEnum):
    """Which name of the certificate says whose it is."""

    EMAIL = "email"
    """rfc822Name and SmtpUTF8Mailbox, or without either the subject's emailAddress."""
    UPN = "upn"
    """The userPrincipalName of Active Directory, an otherName, as smart cards carry it."""
    SUBJECT = "subject"
    """The distinguished name."""
    SAN_URI = "san_uri"
    """A uniformResourceIdentifier of the subjectAltName, such as a SPIFFE ID."""


@dataclass(frozen=True, slots=True)
class PrincipalName:
    """A userPrincipalName, `user@suffix`, compared without ASCII case as Active Directory does."""

    folded: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        user, at, suffix = text.partition("@")
        if not at or not user or not suffix or "@" in suffix or not _is_visible(text):
            return None
        return None if " " in text else cls(text.translate(_LOWER))

    def __str__(self) -> str:
        return self.folded


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A distinguished name, compared as RFC 5280 7.1 says and never as text.

    Attribute by attribute: the types by OID, the values without ASCII case and with runs of
    spaces as one, whichever string type they are encoded in. The order of the RDNs counts, the
    order within a multi-valued one does not. Nothing else is folded.
    """

    rdns: tuple[frozenset[tuple[str, str | bytes]], ...]
    written: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DistinguishedName) and self.rdns == other.rdns

    def __hash__(self) -> int:
        return hash(self.rdns)

    @classmethod
    def of(cls, name: x509.Name) -> Self | None:
        """The name as it is compared; None for an empty one, which names nobody."""
        rdns = tuple(
            frozenset((attribute.oid.dotted_string, _folded(attribute.value)) for attribute in rdn)
            for rdn in name.rdns
        )
        values = [value for rdn in rdns for _, value in rdn]
        if not rdns or not all(isinstance(value, bytes) or _is_visible(value) for value in values):
            return None
        return cls(rdns, name.rfc4514_string())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an RFC 4514 string, most specific RDN first: `CN=Alice,O=Acme`."""
        try:
            return cls.of(x509.Name.from_rfc4514_string(text, _ATTRIBUTES_IN_ANY_CASE))
        except (ValueError, TypeError):
            return None

    def __str__(self) -> str:
        return self.written


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI, compared as RFC 5280 7.4 says: scheme and host without case, the rest exactly."""

    normal: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        match = _URI.fullmatch(text)
        if match is None or not text.isascii() or not _is_visible(text) or " " in text:
            return None
        authority = ""
        if match["authority"] is not None:
            userinfo, at, host = match["authority"].rpartition("@")
            authority = f"//{userinfo}{at}{host.translate(_LOWER)}"
        return cls(f"{match['scheme'].translate(_LOWER)}:{authority}{match['rest']}")

    def __str__(self) -> str:
        return self.normal


Identity: TypeAlias = EmailAddress | PrincipalName | DistinguishedName | Uri

_PARSERS = {
    IdentityKind.EMAIL: EmailAddress.parse,
    IdentityKind.UPN: PrincipalName.parse,
    IdentityKind.SUBJECT: DistinguishedName.parse,
    IdentityKind.SAN_URI: Uri.parse,
}


def parse(kind: IdentityKind, text: str) -> Identity | None:
    """Read a name of that kind; None when the text is none."""
    return _PARSERS[kind](text)


def _folded(value: str | bytes) -> str | bytes:
    if isinstance(value, bytes):
        return value
    return _SPACES.sub(" ", value.strip(" ")).translate(_LOWER)


def _is_visible(text: str) -> bool:
    return bool(text) and text.isprintable()
