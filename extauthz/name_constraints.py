"""Name constraints (RFC 5280 4.2.1.10) where the library's path validation stops short.

`cryptography` holds DNS names, IP addresses and rfc822Names against them. It does not look at an
emailAddress in the subject nor at a SmtpUTF8Mailbox, and passes over forms of names that it has no
rule for. Emails are therefore held against the constraints here, wherever they stand (in the
subject even beside a subjectAltName, as OpenSSL does), and what nobody has a rule for is refused.
"""

from collections.abc import Iterable, Iterator, Sequence

from cryptography import x509

from extauthz.ca import CaCertificate
from extauthz.certificate import PeerCertificate, extension, subject_emails
from extauthz.email import EmailAddress

__all__ = ["never_satisfiable", "violation"]

_SUPPORTED = (x509.DNSName, x509.IPAddress, x509.RFC822Name)


def violation(peer: PeerCertificate, issuers: Sequence[CaCertificate]) -> str | None:
    """What a name constraint has against the certificate, or a CA below the one that set it.

    `issuers` begin with the issuer of the peer certificate and end with the trust anchor.
    """
    below = [peer.parsed]
    emails = dict.fromkeys((*peer.emails, *subject_emails(peer.parsed.subject)))
    for issuer in issuers:
        constraints = extension(issuer.parsed.extensions, x509.NameConstraints)
        if constraints is not None:
            form = _unprocessed(constraints, below)
            if form is not None:
                subject = issuer.facts.subject
                return f"{subject!r} constrains names of the form {form}: that is not supported"
            for email in emails:
                if (fault := _against(email, constraints)) is not None:
                    return f"{fault} by the name constraints of {issuer.facts.subject!r}"
        below.append(issuer.parsed)
    return None


def never_satisfiable(ca: CaCertificate) -> str | None:
    """Why no certificate below the CA can ever pass; None when one can.

    A directoryName constraint holds for every subject, so a path below it cannot be judged.
    """
    constraints = extension(ca.parsed.extensions, x509.NameConstraints)
    if constraints is None or x509.DirectoryName not in map(type, _subtrees(constraints)):
        return None
    return "it has name constraints on directoryName, which are not supported"


def _unprocessed(
    constraints: x509.NameConstraints, below: Iterable[x509.Certificate]
) -> str | None:
    """A form of names that is constrained, that is there, and that nobody here has a rule for.

    Refused whether or not the extension is critical: it must be.
    """
    for form in set(map(type, _subtrees(constraints))).difference(_SUPPORTED):
        if form is x509.DirectoryName or any(form in _forms(certificate) for certificate in below):
            return form.__name__
    return None


def _forms(certificate: x509.Certificate) -> set[type[x509.GeneralName]]:
    names = extension(certificate.extensions, x509.SubjectAlternativeName)
    return set() if names is None else set(map(type, names))


def _subtrees(constraints: x509.NameConstraints) -> Iterator[x509.GeneralName]:
    yield from constraints.permitted_subtrees or ()
    yield from constraints.excluded_subtrees or ()


def _against(email: str, constraints: x509.NameConstraints) -> str | None:
    permitted = list(_emails(constraints.permitted_subtrees))
    excluded = list(_emails(constraints.excluded_subtrees))
    if not permitted and not excluded:
        return None
    address = EmailAddress.parse(email)
    if address is None:
        return f"{email!r} is no address and cannot be permitted"
    for subtree in (*permitted, *excluded):
        if not _is_readable(subtree):
            return f"{email!r} is not permitted: {subtree!r} cannot be read"
    if any(_is_within(address, subtree) for subtree in excluded):
        return f"{email!r} is excluded"
    if permitted and not any(_is_within(address, subtree) for subtree in permitted):
        return f"{email!r} is not permitted"
    return None


def _is_readable(subtree: str) -> bool:
    """Whether it is a mailbox, a host, or a domain with a leading dot: nothing else excludes."""
    if "@" in subtree:
        return EmailAddress.parse(subtree) is not None
    return EmailAddress.parse(f"a@{subtree.removeprefix('.')}") is not None


def _is_within(address: EmailAddress, subtree: str) -> bool:
    """RFC 5280 4.2.1.10: a mailbox, all mailboxes of a host, or those of all hosts below one."""
    if "@" in subtree:
        return EmailAddress.parse(subtree) == address
    if subtree.startswith("."):
        return address.domain.endswith(subtree.lower())
    return address.domain == subtree.lower()


def _emails(subtrees: Iterable[x509.GeneralName] | None) -> Iterator[str]:
    for subtree in subtrees or ():
        if isinstance(subtree, x509.RFC822Name):
            yield subtree.value
