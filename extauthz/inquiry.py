"""Who is asked by OCSP about a certificate, and what came of that.

The policy names its responder, or the hosts among which the certificate may name one. Nobody else
is ever asked: a certificate would choose where we send requests.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from extauthz.ocsp import Answer, CertIdHash, Question
from extauthz.trust import Link

__all__ = ["Answered", "Inquiry", "NotAnswered", "OcspPolicy"]


@dataclass(frozen=True, slots=True)
class OcspPolicy:
    """Whom to ask about a certificate, and how."""

    responder: str | None
    """URL; None to take the one in the certificate, where its host is allowed."""
    allowed_hosts: frozenset[str] = frozenset()
    """`host` or `host:port`; the certificate's responder must be one of them."""
    cert_id_hash: CertIdHash = CertIdHash.SHA1
    require_nonce: bool = False
    max_age: timedelta = timedelta(hours=1)
    """For how long an answer is believed at most, whatever its nextUpdate says."""
    ca_file: str | None = None

    def inquiry(self, link: Link) -> "Inquiry | None":
        """What there is to be asked about a certificate; None where nobody may be asked."""
        responder = self.responder
        if responder is None:
            responder = next(_allowed(link.responders, self.allowed_hosts), None)
        if responder is None:
            return None
        return Inquiry(responder, Question(link.issuer, link.serial), self)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question for an OCSP responder."""

    responder: str
    question: Question
    policy: OcspPolicy


@dataclass(frozen=True, slots=True)
class Answered:
    """What a responder said, and until when that is believed."""

    answer: Answer
    until: datetime


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """Why nothing is known from a responder, and until when it is not asked again."""

    why: str
    until: datetime


def _allowed(responders: Iterable[str], allowed_hosts: frozenset[str]) -> Iterator[str]:
    """The certificate's own responders where the policy allows their hosts.

    The certificate is verified, but who it belongs to may have chosen what stands in it; so
    nothing but a plain http or https URL of an allowed host is ever asked.
    """
    for responder in responders:
        try:
            url = urlsplit(responder)
            allowed = url.netloc.lower() in allowed_hosts or (
                url.port is None and url.hostname in allowed_hosts
            )
        except ValueError:
            continue
        plain = responder.isprintable() and "@" not in url.netloc and " " not in responder
        if allowed and plain and url.scheme in {"http", "https"}:
            yield responder
