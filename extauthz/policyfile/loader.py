"""A policy file to a `Policy`, or to everything that is wrong with it.

All mistakes are reported at once, each at its place. A file with an error gives no policy at all:
nothing is ever half applied.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TypeVar

from extauthz import hosts
from extauthz.accounts import Account
from extauthz.ca import CaCertificate
from extauthz.certificate import CertificateFacts
from extauthz.files import FileProblemError, Place, Stamp, read_text, stamp
from extauthz.identity import IdentityKind
from extauthz.policy import Denial, Mode, Policy, Subscription
from extauthz.policyfile import (
    accounts,
    decision_log,
    document,
    exemptions,
    logins,
    requirements,
    revocation,
    shape,
    signing,
    whole,
)
from extauthz.policyfile.document import Node, Scalar, texts
from extauthz.policyfile.problems import Problem, Severity, quoted
from extauthz.policyfile.schema import PolicyModel, SubscriptionModel
from extauthz.policyfile.signing import CertificateFile, Fault
from extauthz.redaction import Redaction
from extauthz.trust import SigningCertificate, TrustAnchors

__all__ = ["Loaded", "load"]

C = TypeVar("C", SigningCertificate, CaCertificate)

MAX_POLICY_OCTETS = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a policy file says."""

    policy: Policy | None
    """None when there is an error among the problems."""
    problems: tuple[Problem, ...]
    """In the order of their places."""
    files: Mapping[Path, Stamp]
    """Every file that was read or looked for, as it was just before; a change of any of them is a
    reason to load again."""


def load(path: Path, now: datetime) -> Loaded:
    """Read a policy file and the files that it names, as of `now` (aware)."""
    return _Load(path, now).run()


class _Load:
    """One reading of a policy file: collects the problems and the files on its way."""

    def __init__(self, path: Path, now: datetime) -> None:
        self._path = path
        self._now = now
        self._problems: list[Problem] = []
        self._files: dict[Path, Stamp] = {path: stamp(path)}
        self._hosts: dict[str, tuple[str, Place]] = {}
        # Many subscriptions may name one file.
        self._read_signing = cache(signing.read)
        self._read_intermediates = cache(signing.read_intermediates)

    def run(self) -> Loaded:
        policy = self._policy()
        # A value that is written once and stands in several places by an alias is wrong once.
        problems = sorted(dict.fromkeys(self._problems), key=lambda p: p.place or Place(0, 0))
        return Loaded(policy, tuple(problems), self._files)

    def _policy(self) -> Policy | None:
        try:
            root, mistakes = document.parse(read_text(self._path, MAX_POLICY_OCTETS))
        except FileProblemError as error:
            self._report(error.place, f"the policy file {error}", error.remedy)
            return None
        for mistake in mistakes:
            self._report(mistake.place, mistake.message, mistake.remedy)
        return None if root is None else self._meaning(root)

    def _meaning(self, root: Node) -> Policy | None:
        shaped = shape.read(root)
        if not isinstance(shaped, PolicyModel):
            for mistake in shaped:
                self._report(mistake.place, mistake.message, mistake.remedy)
        # The meaning is checked on the tree, which is there whether or not the shape is right.
        parts = {name: self._parts(name, node) for name, node in _subscriptions(root)}
        redaction = self._redaction(root)
        if self._has_errors() or not isinstance(shaped, PolicyModel):
            return None
        subscriptions = [
            _subscription(name, model, parts[name], self._path.parent)
            for name, model in shaped.subscriptions.items()
        ]
        nodes = dict(_subscriptions(root))
        for subscription in subscriptions:
            node = nodes[subscription.name]
            for doubt in whole.doubts(subscription, self._now):
                at = node.values.get(doubt.setting, node)
                self._report(at.place, doubt.message, doubt.remedy, doubt.severity)
        return None if self._has_errors() else Policy(subscriptions, redaction)

    def _has_errors(self) -> bool:
        return any(problem.severity is Severity.ERROR for problem in self._problems)

    def _parts(self, name: str, node: document.Mapping) -> "_Parts":
        found = tuple(self._host(name, item) for item in texts(node.values.get("hosts")))
        listed = self._accounts(node)
        logins.check(node, self._report)
        exemptions.check(node, self._now, self._report)
        requirements.check(node.values.get("require"), self._report)
        revocation.check(node.values.get("revocation"), self._report)
        for part in (node.values.get("revocation"), node.values.get("session"),
                     *_parts_of(node.values.get("accounts"))):  # fmt: skip
            self._ca_file(part)
        return _Parts(
            tuple(filter(None, found)),
            self._signing_certificates(node),
            self._intermediates(node),
            listed,
        )

    def _redaction(self, root: Node) -> Redaction | None:
        node = root.values.get("decision_log") if isinstance(root, document.Mapping) else None
        path = decision_log.key_file(node, self._path.parent)
        if path is not None:
            self._files[path] = stamp(path)
        return decision_log.redaction(node, self._path.parent, self._report)

    def _host(self, subscription: str, item: Scalar) -> str | None:
        written = str(item.value)
        pattern = _host_pattern(written)
        if pattern is None:
            remedy = "write a host like app.example.com, *.example.com or [2001:db8::1]"
            if written == "*":
                remedy = "there is no default subscription: name the hosts"
            elif "://" in written or "/" in written:
                remedy = "write the host alone, without scheme and path"
            elif ":" in written and _host_pattern(written.rpartition(":")[0]):
                remedy = "leave the port out: hosts are compared without it"
            self._report(item.place, f"{quoted(written)} is not a host", remedy)
            return None
        if pattern in self._hosts:
            other, place = self._hosts[pattern]
            same = "" if written == pattern else f" ({pattern})"
            message = f"the host {quoted(written)}{same} is already in {quoted(other)}"
            remedy = f"it stands in line {place.line}: a host belongs to one subscription, once"
            self._report(item.place, message, remedy)
            return None
        self._hosts[pattern] = (subscription, item.place)
        return pattern

    def _accounts(self, node: document.Mapping) -> list[Account]:
        given = node.values.get("accounts")
        kind = _says(node, "identity", otherwise=IdentityKind.EMAIL)
        listed: list[Account] = []
        if kind in set(IdentityKind):
            listed = accounts.check(node, IdentityKind(str(kind)), self._report)
        if not _has_entries(given) and _says(node, "verify_email", otherwise=True) is True:
            place = node.place if given is None else given.place
            message = "no accounts, and yet emails are verified: nobody could come in"
            self._report(place, message, "list `accounts`, or set `verify_email: false`")
        return listed

    def _signing_certificates(self, node: document.Mapping) -> list[SigningCertificate]:
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

    def _intermediates(self, node: document.Mapping) -> list[CaCertificate]:
        listed = node.values.get("intermediates")
        usable: list[CaCertificate] = []
        for item, found in self._certificate_files(listed, self._read_intermediates):
            for certificate in found.certificates:
                self._check_dates(item, certificate.facts, "intermediate")
                usable.append(certificate)
        if usable and not _says(node, "max_intermediates", otherwise=0):
            message = "`intermediates` has no effect: `max_intermediates` is 0"
            remedy = "say how many may stand in a chain, such as `max_intermediates: 1`"
            self._report(node.keys["intermediates"], message, remedy, Severity.WARNING)
        return usable

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
            path = self._path.parent / str(item.value)
            if path not in self._files:
                self._files[path] = stamp(path)
            found = read(path, str(item.value))
            for fault in found.faults:
                self._report(item.place, f"{quoted(str(item.value))} {fault.message}", fault.remedy)
            yield item, found

    def _ca_file(self, node: Node | None) -> None:
        item = node.values.get("ca_file") if isinstance(node, document.Mapping) else None
        if isinstance(item, Scalar) and isinstance(item.value, str):
            path = self._path.parent / item.value
            self._files[path] = stamp(path)
            for fault in signing.read_bundle(path).faults:
                self._report(item.place, f"{quoted(item.value)} {fault.message}", fault.remedy)

    def _check_dates(self, item: Scalar, facts: CertificateFacts, kind: str) -> None:
        fault = signing.date_fault(facts, self._now)
        if fault is not None:
            name, file = quoted(facts.subject), quoted(str(item.value))
            message = f"the {kind} certificate {name} of {file} {fault.message}"
            self._report(item.place, message, fault.remedy, Severity.WARNING)

    def _report(
        self,
        place: Place | None,
        message: str,
        remedy: str,
        severity: Severity = Severity.ERROR,
    ) -> None:
        self._problems.append(Problem(self._path, place, severity, message, remedy))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the tree of one subscription means, as far as it can be read."""

    hosts: tuple[str, ...]
    signing_certificates: list[SigningCertificate]
    intermediates: list[CaCertificate]
    accounts: list[Account]


def _subscription(name: str, model: SubscriptionModel, parts: _Parts, beside: Path) -> Subscription:
    return Subscription(
        name=name,
        hosts=parts.hosts,
        trust=TrustAnchors(
            parts.signing_certificates, parts.intermediates, model.max_intermediates
        ),
        accounts=accounts.accounts(model, parts.accounts, beside),
        mode=Mode(model.mode),
        verify_email=model.verify_email,
        identity=IdentityKind(model.identity),
        requirements=requirements.requirements(
            model.require, any_extended_key_usage=model.any_extended_key_usage
        ),
        revocation=None
        if model.revocation is None
        else revocation.revocation(model.revocation, beside),
        login=logins.sources(model.login),
        session=logins.session(model.session, beside),
        exemptions=exemptions.exemptions(model.exempt),
        required_for=exemptions.required_for(model.certificate_required_for),
        denial=Denial(
            model.denial.status, model.denial.body, model.denial.content_type, model.denial.help
        ),
    )


def _host_pattern(written: str) -> str | None:
    """A host or wildcard of the policy in its normal form; a port has no place in it."""
    wildcard = hosts.WILDCARD if written.startswith(hosts.WILDCARD) else ""
    bare = written.removeprefix(wildcard)
    if ":" in bare and not (bare.startswith("[") and bare.endswith("]") and not wildcard):
        return None
    normal = hosts.normalise(bare)
    return None if normal is None else wildcard + normal


def _subscriptions(root: Node) -> Iterator[tuple[str, document.Mapping]]:
    named = root.values.get("subscriptions") if isinstance(root, document.Mapping) else None
    if isinstance(named, document.Mapping):
        for name, node in named.values.items():
            if isinstance(node, document.Mapping):
                yield name, node


def _parts_of(node: Node | None) -> Iterable[Node]:
    return node.values.values() if isinstance(node, document.Mapping) else ()


def _has_entries(node: Node | None) -> bool:
    return node is not None and not (isinstance(node, document.Mapping) and not node.values)


def _says(node: document.Mapping, key: str, *, otherwise: object) -> object:
    value = node.values.get(key)
    return value.value if isinstance(value, Scalar) else otherwise
