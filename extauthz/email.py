"""When are two email addresses the same?

The rule, whole: exactly one `@`; the domain is compared without ASCII case and in A-label form
(RFC 5890), the local part without ASCII case. Nothing else is folded: no Unicode normalisation,
no dots or plus signs that some provider ignores, no display names. Whatever is not a plain
address (white space, control characters, NUL, a trailing dot, an address literal) is no address,
and no address equals nothing, on either side.

RFC 5321 2.4 lets a host treat local parts as case-sensitive; no provider in use does, and
directories and CAs disagree about the case in which they write the same mailbox.
"""

import re
import string
from dataclasses import dataclass
from typing import Self

import idna

__all__ = ["EmailAddress"]

_MAX_LOCAL_OCTETS = 64  # RFC 5321 4.5.3.1.1
_MAX_DOMAIN_OCTETS = 255  # RFC 5321 4.5.3.1.2
_ATEXT = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~")
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# The same rule for an address of ASCII alone, at a fraction of the time: there are files with a
# million of them.
_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@({_LABEL}(?:\.{_LABEL})*)")


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """An email address in the form in which it is compared: equal means the same mailbox."""

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read one bare address (RFC 5322 3.4.1, dot-atom form; RFC 6531 for non-ASCII).

        Returns None for anything else. A domain in U-label form becomes A-labels under strict
        IDNA 2008, without mapping: a domain that would need one (full-width letters, the Kelvin
        sign, upper case outside ASCII) is no domain.
        """
        plain = _PLAIN.fullmatch(text)
        if (
            plain is not None
            and len(plain[1]) <= _MAX_LOCAL_OCTETS
            and len(plain[2]) <= _MAX_DOMAIN_OCTETS
        ):
            return cls(plain[1].lower(), plain[2].lower())
        local, at, domain = text.partition("@")
        if not at or "@" in domain or not _is_dot_atom(local):
            return None
        ascii_domain = _a_labels(domain)
        if ascii_domain is None:
            return None
        return cls(local.translate(_LOWER), ascii_domain)

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def _is_dot_atom(local: str) -> bool:
    return (
        0 < len(local.encode("utf-8", "surrogatepass")) <= _MAX_LOCAL_OCTETS
        and all(local.split("."))
        and all(char in _ATEXT or char == "." or _is_utf8_non_ascii(char) for char in local)
    )


def _is_utf8_non_ascii(char: str) -> bool:
    """RFC 6531 3.3 allows any non-ASCII; what no reader can see is left out."""
    return char > "\x7f" and char.isprintable() and not char.isspace()


def _a_labels(domain: str) -> str | None:
    if domain.isascii():
        lowered = domain.translate(_LOWER)
    else:
        try:
            lowered = idna.encode(domain.translate(_LOWER), strict=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    if len(lowered) > _MAX_DOMAIN_OCTETS or not all(map(_is_ldh_label, lowered.split("."))):
        return None
    return lowered


def _is_ldh_label(label: str) -> bool:
    """A letter-digit-hyphen label (RFC 5890 2.3.1)."""
    return (
        0 < len(label) <= 63  # noqa: PLR2004 (RFC 1035 2.3.4)
        and label[0] != "-" != label[-1]
        and all(char.isalnum() or char == "-" for char in label)
    )
