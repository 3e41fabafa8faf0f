"""The `revocation` part of a subscription: what stands there, as `Revocation`.

Whether the files and URLs have lists that are good today is not asked here: they change while the
policy stays, and one customer's list must not keep the policy of all from taking effect.
"""

import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from extauthz.inquiry import OcspPolicy
from extauthz.ocsp import CertIdHash
from extauthz.policyfile import document
from extauthz.policyfile.document import Node, Scalar, says, texts
from extauthz.policyfile.problems import Report, quoted
from extauthz.policyfile.schema import OcspModel, RevocationModel
from extauthz.revocation import Blocked, CrlSource, Revocation, Scope

__all__ = ["check", "revocation"]

_HEX = re.compile(r"[0-9A-Fa-f]+(:[0-9A-Fa-f]+)*")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?")
_SHA256_DIGITS = 64
_MAX_SERIAL_DIGITS = 40


def check(node: Node | None, report: Report) -> None:
    """Report what cannot be meant, wherever the shape is right."""
    if not isinstance(node, document.Mapping):
        return
    for item in texts(node.values.get("crl")):
        written = str(item.value)
        if "://" in written:
            _check_url(item, report)
    ocsp = node.values.get("ocsp")
    if isinstance(ocsp, document.Mapping):
        _check_ocsp(ocsp, report)
    blocked = node.values.get("blocked")
    if isinstance(blocked, document.Mapping):
        _check_blocked(blocked, report)
    if not any(_says_something(node.values.get(key)) for key in ("crl", "ocsp", "blocked")):
        report(node.place, "`revocation` says nothing", "give `crl`, `ocsp` or `blocked`")


def revocation(model: RevocationModel, beside: Path) -> Revocation:
    """The settings of a `revocation` in which `check` found nothing wrong."""
    ca_file = None if model.ca_file is None else str(beside / model.ca_file)
    refresh = timedelta(seconds=model.refresh_seconds)
    return Revocation(
        scope=Scope(model.require),
        allow_unknown=model.if_unknown == "allow",
        crls=tuple(
            CrlSource(location, ca_file, refresh)
            if "://" in location
            else CrlSource(str(beside / location))
            for location in model.crl
        ),
        ocsp=None if model.ocsp is None else _ocsp(model.ocsp, ca_file),
        blocked=Blocked(
            frozenset(_digits(each) for each in model.blocked.fingerprints),
            frozenset(int(_digits(each), 16) for each in model.blocked.serials),
        ),
    )


def _ocsp(model: OcspModel, ca_file: str | None) -> OcspPolicy:
    return OcspPolicy(
        responder=model.responder,
        allowed_hosts=frozenset(host.lower() for host in model.allowed_hosts),
        cert_id_hash=CertIdHash(model.cert_id_hash),
        require_nonce=model.require_nonce,
        max_age=timedelta(seconds=model.max_age_seconds),
        ca_file=ca_file,
    )


def _check_ocsp(node: document.Mapping, report: Report) -> None:
    responder, from_certificate = (
        node.values.get("responder"),
        says(node, "from_certificate") is True,
    )
    if (responder is not None) == from_certificate:
        message = "either `responder` or `from_certificate: true` must be given"
        report(node.place, message, "give the URL of the responder, or let certificates name it")
    if isinstance(responder, Scalar) and isinstance(responder.value, str):
        _check_url(responder, report)
    hosts = list(texts(node.values.get("allowed_hosts")))
    if from_certificate and not hosts:
        message = "`from_certificate` without `allowed_hosts` would ask nobody"
        report(node.place, message, "list the hosts of the responders that may be asked")
    for host in hosts:
        if not _HOST.fullmatch(str(host.value)):
            remedy = "write a host or host:port, without scheme and path"
            report(host.place, f"{quoted(str(host.value))} is not a host", remedy)


def _check_url(item: Scalar, report: Report) -> None:
    written = str(item.value)
    try:
        url = urlsplit(written)
        good = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    else:
        if good and "@" in url.netloc:
            report(item.place, "a URL with a user name is not supported", "leave out `user@`")
            return
        good = good and not url.fragment and written.isascii() and written.isprintable()
    if not good or " " in written:
        remedy = "write it like http://pki.acme.example/acme.crl"
        report(item.place, f"{quoted(written)} is not an http or https URL", remedy)


def _check_blocked(node: document.Mapping, report: Report) -> None:
    for item in texts(node.values.get("fingerprints")):
        digits = _digits(str(item.value))
        if not _HEX.fullmatch(str(item.value)) or len(digits) != _SHA256_DIGITS:
            remedy = "write the 64 digits of `openssl x509 -noout -fingerprint -sha256`"
            report(item.place, f"{quoted(str(item.value))} is not a SHA-256 fingerprint", remedy)
    for item in texts(node.values.get("serials")):
        digits = _digits(str(item.value))
        if not _HEX.fullmatch(str(item.value)) or len(digits) > _MAX_SERIAL_DIGITS:
            remedy = "write it in hexadecimal, as `openssl x509 -noout -serial` does"
            report(item.place, f"{quoted(str(item.value))} is not a serial number", remedy)


def _digits(written: str) -> str:
    return written.replace(":", "").lower()


def _says_something(node: Node | None) -> bool:
    match node:
        case document.Mapping():
            return bool(node.values)
        case document.Sequence():
            return bool(node.items)
        case _:
            return False
