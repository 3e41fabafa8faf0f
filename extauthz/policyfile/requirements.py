"""The `require` part of a subscription: what stands there, as `Requirements`."""

import binascii
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from cryptography import x509

from extauthz.email import EmailAddress
from extauthz.files import Place
from extauthz.policyfile import document
from extauthz.policyfile.document import Node, Scalar, texts
from extauthz.policyfile.problems import Report, quoted
from extauthz.policyfile.schema import RequireModel
from extauthz.requirements import Requirements

__all__ = ["check", "requirements"]


def check(node: Node | None, report: Report) -> None:
    """Report what cannot be meant, wherever the shape is right."""
    if not isinstance(node, document.Mapping):
        return
    for item in texts(node.values.get("certificate_policies")):
        _check_oid(str(item.value), item.place, report)
    for item in texts(node.values.get("email_domains")):
        if _domain(str(item.value)) is None:
            remedy = "write the domain alone, like acme.example"
            report(item.place, f"{quoted(str(item.value))} is not a domain", remedy)
    extensions = node.values.get("extensions")
    if isinstance(extensions, document.Mapping):
        for oid, value in extensions.values.items():
            _check_oid(oid, extensions.keys[oid], report)
            if isinstance(value, Scalar) and isinstance(value.value, str) and not _is_der(value):
                remedy = "write the DER of the extension's value, like '0c0461636d65'"
                report(value.place, f"{quoted(value.value)} is not hexadecimal", remedy)


def requirements(model: RequireModel, *, any_extended_key_usage: bool) -> Requirements:
    """The requirements of a `require` in which `check` found nothing wrong."""
    extensions: Mapping[str, bytes | None] = MappingProxyType(
        {
            oid: None if value is None else bytes.fromhex(value.replace(":", ""))
            for oid, value in model.extensions.items()
        }
    )
    days = model.max_lifetime_days
    return Requirements(
        organizations=frozenset(model.organization),
        organizational_units=frozenset(model.organizational_unit),
        certificate_policies=frozenset(model.certificate_policies),
        email_domains=frozenset(filter(None, map(_domain, model.email_domains))),
        key_types=frozenset(model.key_types),
        max_lifetime=None if days is None else timedelta(days=days),
        extensions=extensions,
        any_extended_key_usage=any_extended_key_usage,
    )


def _check_oid(written: str, place: Place, report: Report) -> None:
    try:
        valid = x509.ObjectIdentifier(written).dotted_string == written
    except ValueError:
        valid = False
    if not valid:
        remedy = "write it in dotted form, like 1.3.6.1.4.1.99999.1"
        report(place, f"{quoted(written)} is not an object identifier", remedy)


def _is_der(value: Scalar) -> bool:
    try:
        return bool(binascii.unhexlify(str(value.value).replace(":", "")))
    except (binascii.Error, ValueError):
        return False


def _domain(written: str) -> str | None:
    """The domain as addresses have it: one that an address could have."""
    address = EmailAddress.parse(f"a@{written}")
    return None if address is None else address.domain
