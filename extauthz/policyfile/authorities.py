"""The CA certificates that a policy names: their files, and what is wrong with those today."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TypeVar

from extauthz.ca import CaCertificate
from extauthz.certificate import CertificateFacts
from extauthz.policyfile import document, signing
from extauthz.policyfile.document import Node, Scalar, says, texts
from extauthz.policyfile.problems import Problems, Severity, quoted
from extauthz.policyfile.signing import CertificateFile, Fault
from extauthz.trust import SigningCertificate

__all__ = ["Authorities"]

C = TypeVar("C", SigningCertificate, CaCertificate)


class Authorities:
    """Reads the files as of `now` (aware); `note` is told of each before it is read."""

    def __init__(
        self, beside: Path, now: datetime, note: Callable[[Path], None], problems: Problems
    ) -> None:
        self._beside = beside
        self._now = now
        self._note = note
        self._report = problems.report
        # Many subscriptions may name one file.
        self._read_signing = cache(signing.read)
        self._read_intermediates = cache(signing.read_intermediates)

    def signing_certificates(self, node: document.Mapping) -> list[SigningCertificate]:
        """The signing certificates of a subscription, each once."""
        listed = node.values.get("signing_certificates")
        usable: dict[str, SigningCertificate] = {}
        all_read = True
        for item, found in self._certificate_files(listed, self._read_signing):
            all_read = all_read and not found.faults
            for certificate in found.certificates:
                self._check_dates(item, certificate.facts, "signing")
                if certificate.facts.fingerprint in usable:
                    name, file = quoted(certificate.facts.subject), quoted(str(item.value))
                    message = f"the signing certificate {name} of {file} is there already"
                    self._report(item.place, message, "leave one out", Severity.WARNING)
                else:
                    usable[certificate.facts.fingerprint] = certificate
        if (
            all_read
            and usable
            and not any(signing.is_valid(one.facts, self._now) for one in usable.values())
        ):
            place = node.values["signing_certificates"].place
            message = "no signing certificate is valid today: no user's certificate can pass"
            self._report(place, message, "ask the customer for the new one", Severity.LAPSED)
        return list(usable.values())

    def intermediates(self, node: document.Mapping) -> list[CaCertificate]:
        """The intermediates that stand in the policy for clients that do not send them."""
        listed = node.values.get("intermediates")
        usable: list[CaCertificate] = []
        for item, found in self._certificate_files(listed, self._read_intermediates):
            for certificate in found.certificates:
                self._check_dates(item, certificate.facts, "intermediate")
                usable.append(certificate)
        if usable and not says(node, "max_intermediates", otherwise=0):
            message = "`intermediates` has no effect: `max_intermediates` is 0"
            remedy = "say how many may stand in a chain, such as `max_intermediates: 1`"
            self._report(node.keys["intermediates"], message, remedy, Severity.WARNING)
        return usable

    def check_bundle(self, node: Node | None) -> None:
        """Report what is wrong with the `ca_file` of a part, against which servers are checked."""
        item = node.values.get("ca_file") if isinstance(node, document.Mapping) else None
        if isinstance(item, Scalar) and isinstance(item.value, str):
            path = self._beside / item.value
            self._note(path)
            for fault in signing.read_bundle(path).faults:
                self._report(item.place, f"{quoted(item.value)} {fault.message}", fault.remedy)

    def _certificate_files(
        self, listed: Node | None, read: Callable[[Path, str], CertificateFile[C]]
    ) -> Iterator[tuple[Scalar, CertificateFile[C]]]:
        """Each file of a list with what it holds; its faults are reported."""
        for item in texts(listed):
            if "-----BEGIN " in str(item.value):
                # It may be a private key, so it is not repeated.
                message = "a PEM text stands here, and not the name of a file"
                remedy = "save it in a file, and name that one"
                self._report(item.place, message, remedy)
                yield item, CertificateFile((), (Fault(message, remedy),))
                continue
            path = self._beside / str(item.value)
            self._note(path)
            found = read(path, str(item.value))
            for fault in found.faults:
                self._report(item.place, f"{quoted(str(item.value))} {fault.message}", fault.remedy)
            yield item, found

    def _check_dates(self, item: Scalar, facts: CertificateFacts, kind: str) -> None:
        fault = signing.date_fault(facts, self._now)
        if fault is not None:
            name, file = quoted(facts.subject), quoted(str(item.value))
            message = f"the {kind} certificate {name} of {file} {fault.message}"
            self._report(item.place, message, fault.remedy, Severity.WARNING)
