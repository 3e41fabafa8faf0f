"""A policy file to a `Policy`, or to everything that is wrong with it.

All mistakes are reported at once, each at its place. A file with an error gives no policy at all:
nothing is ever half applied.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from extauthz import hosts
from extauthz.accounts import Account, Accounts
from extauthz.email import EmailAddress
from extauthz.policy import Denial, Mode, Policy, Subscription
from extauthz.policyfile import document, shape, signing
from extauthz.policyfile.document import Node, Scalar
from extauthz.policyfile.files import FileProblemError, Stamp, read_text, stamp
from extauthz.policyfile.problems import Place, Problem, Severity, quoted
from extauthz.policyfile.schema import PolicyModel, SubscriptionModel
from extauthz.policyfile.signing import SigningFile
from extauthz.trust import SigningCertificate, TrustAnchors

__all__ = ["Loaded", "load"]

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
        self._signing: dict[Path, SigningFile] = {}

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
        if self._has_errors() or not isinstance(shaped, PolicyModel):
            return None
        return Policy(
            _subscription(name, model, *parts[name]) for name, model in shaped.subscriptions.items()
        )

    def _has_errors(self) -> bool:
        return any(problem.severity is Severity.ERROR for problem in self._problems)

    def _parts(
        self, name: str, node: document.Mapping
    ) -> tuple[tuple[str, ...], list[SigningCertificate], list[Account]]:
        found = tuple(self._host(name, item) for item in _strings(node.values.get("hosts")))
        accounts = self._accounts(node)
        return tuple(filter(None, found)), self._signing_certificates(node), accounts

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
        accounts = list(self._read_accounts(given)) if isinstance(given, document.Mapping) else []
        if not _has_entries(given) and _says(node, "verify_email", otherwise=True) is True:
            place = node.place if given is None else given.place
            message = "no accounts, and yet emails are verified: nobody could come in"
            self._report(place, message, "list `accounts`, or set `verify_email: false`")
        return accounts

    def _read_accounts(self, given: document.Mapping) -> Iterator[Account]:
        for login, value in given.values.items():
            if not isinstance(value, Scalar) or not isinstance(value.value, str):
                continue
            email = EmailAddress.parse(value.value)
            if email is None:
                message = f"{quoted(value.value)} is not an email address"
                remedy = "write one plain address like alice@example.com"
                self._report(value.place, message, remedy)
            else:
                yield Account(login, email)

    def _signing_certificates(self, node: document.Mapping) -> list[SigningCertificate]:
        usable: list[SigningCertificate] = []
        all_read = True
        for item in _strings(node.values.get("signing_certificates")):
            if "-----BEGIN " in str(item.value):
                # It may be a private key, so it is not repeated.
                all_read = False
                message = "a PEM text stands here, and not the name of a file"
                self._report(item.place, message, "save it in a file, and name that one")
                continue
            found = self._signing_file(str(item.value))
            for fault in found.faults:
                all_read = False
                self._report(item.place, f"{quoted(str(item.value))} {fault.message}", fault.remedy)
            for certificate in found.certificates:
                self._check_dates(item, certificate)
            usable += found.certificates
        if all_read and usable and not any(signing.is_valid(one, self._now) for one in usable):
            place = node.values["signing_certificates"].place
            message = "no signing certificate is valid today: no user's certificate can pass"
            self._report(place, message, "ask the customer for the new one", Severity.LAPSED)
        return usable

    def _signing_file(self, written: str) -> SigningFile:
        path = self._path.parent / written
        if path not in self._signing:
            self._files[path] = stamp(path)
            self._signing[path] = signing.read(path)
        return self._signing[path]

    def _check_dates(self, item: Scalar, certificate: SigningCertificate) -> None:
        fault = signing.date_fault(certificate, self._now)
        if fault is not None:
            name, file = quoted(certificate.facts.subject), quoted(str(item.value))
            message = f"the signing certificate {name} of {file} {fault.message}"
            self._report(item.place, message, fault.remedy, Severity.WARNING)

    def _report(
        self,
        place: Place | None,
        message: str,
        remedy: str,
        severity: Severity = Severity.ERROR,
    ) -> None:
        self._problems.append(Problem(self._path, place, severity, message, remedy))


def _subscription(
    name: str,
    model: SubscriptionModel,
    hosts_: tuple[str, ...],
    anchors: list[SigningCertificate],
    accounts: list[Account],
) -> Subscription:
    return Subscription(
        name=name,
        hosts=hosts_,
        trust=TrustAnchors(anchors),
        accounts=Accounts(accounts),
        mode=Mode(model.mode),
        verify_email=model.verify_email,
        denial=Denial(model.denial.status, model.denial.body, model.denial.content_type),
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


def _strings(node: Node | None) -> Iterator[Scalar]:
    """The texts of a list; what is neither is the shape's to complain about."""
    if isinstance(node, document.Sequence):
        for item in node.items:
            if isinstance(item, Scalar) and isinstance(item.value, str) and item.value:
                yield item


def _has_entries(node: Node | None) -> bool:
    return node is not None and not (isinstance(node, document.Mapping) and not node.values)


def _says(node: document.Mapping, key: str, *, otherwise: object) -> object:
    value = node.values.get(key)
    return value.value if isinstance(value, Scalar) else otherwise
