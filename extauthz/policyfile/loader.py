"""A policy file to a `Policy`, or to everything that is wrong with it.

All mistakes are reported at once, each at its place. A file with an error gives no policy at all:
nothing is ever half applied.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from extauthz import hosts, pem
from extauthz.accounts import Account, Accounts
from extauthz.email import EmailAddress
from extauthz.policy import Denial, Mode, Policy, Subscription
from extauthz.policyfile import document, shape
from extauthz.policyfile.document import DocumentError, Node, Scalar
from extauthz.policyfile.files import FileProblemError, Stamp, read_text, stamp
from extauthz.policyfile.problems import Place, Problem, Severity
from extauthz.policyfile.schema import PolicyModel, SubscriptionModel
from extauthz.trust import SigningCertificate, TrustAnchors, UnusableError

__all__ = ["EXPIRY_WARNING", "Loaded", "load"]

MAX_POLICY_OCTETS = 256 * 1024 * 1024
MAX_PEM_OCTETS = 1024 * 1024
EXPIRY_WARNING = timedelta(days=30)
"""How long before its end a signing certificate is warned about."""


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
        self._signing: dict[Path, list[SigningCertificate] | tuple[str, str]] = {}

    def run(self) -> Loaded:
        policy = self._policy()
        return Loaded(
            None if any(p.severity is Severity.ERROR for p in self._problems) else policy,
            tuple(sorted(self._problems, key=lambda p: p.place or Place(0, 0))),
            self._files,
        )

    def _policy(self) -> Policy | None:
        try:
            root = document.parse(read_text(self._path, MAX_POLICY_OCTETS))
        except FileProblemError as error:
            self._report(None, f"the policy file {error}", error.remedy)
            return None
        except DocumentError as error:
            self._report(error.place, error.message, error.remedy)
            return None
        shaped = shape.read(root)
        if not isinstance(shaped, PolicyModel):
            for misfit in shaped:
                self._report(misfit.place, misfit.message, misfit.remedy)
        # The meaning is checked on the tree, which is there whether or not the shape is right.
        parts = {name: self._parts(name, node) for name, node in _subscriptions(root)}
        if self._problems_are_errors() or not isinstance(shaped, PolicyModel):
            return None
        return Policy(
            _subscription(name, model, *parts[name]) for name, model in shaped.subscriptions.items()
        )

    def _problems_are_errors(self) -> bool:
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
            self._report(item.place, f"{written!r} is not a host", remedy)
            return None
        if pattern in self._hosts:
            other, place = self._hosts[pattern]
            message = f"the host {pattern!r} is already in the subscription {other!r}"
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
                message = f"{value.value!r} is not an email address"
                remedy = "write one plain address like alice@example.com, its domain in lower case"
                self._report(value.place, message, remedy)
            else:
                yield Account(login, email)

    def _signing_certificates(self, node: document.Mapping) -> list[SigningCertificate]:
        usable: list[SigningCertificate] = []
        for item in _strings(node.values.get("signing_certificates")):
            path = self._path.parent / str(item.value)
            if path not in self._signing:
                self._files[path] = stamp(path)
                self._signing[path] = _read_signing_certificates(path)
            read = self._signing[path]
            if isinstance(read, tuple):
                message, remedy = read
                self._report(item.place, f"{item.value!r} {message}", remedy)
            else:
                usable += read
                self._dates(item, read)
        if usable and not any(self._is_valid(signing) for signing in usable):
            place = node.values["signing_certificates"].place
            message = "no signing certificate is valid today: the subscription admits nobody"
            self._report(place, message, "ask the customer for the new one", Severity.LAPSED)
        return usable

    def _dates(self, item: Scalar, read: Sequence[SigningCertificate]) -> None:
        for signing in read:
            facts = signing.facts
            if self._now > facts.not_after:
                message = f"expired at {facts.not_after.isoformat()}"
                remedy = "remove it, or name the one that replaces it"
            elif self._now < facts.not_before:
                message = f"is not valid before {facts.not_before.isoformat()}"
                remedy = "keep the one that it replaces until then"
            elif self._now > facts.not_after - EXPIRY_WARNING:
                message = f"expires soon, at {facts.not_after.isoformat()}"
                remedy = "name the one that replaces it beside it"
            else:
                continue
            what = f"the signing certificate {facts.subject!r} of {item.value!r} {message}"
            self._report(item.place, what, remedy, Severity.WARNING)

    def _is_valid(self, signing: SigningCertificate) -> bool:
        return signing.facts.not_before <= self._now <= signing.facts.not_after

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
    signing: list[SigningCertificate],
    accounts: list[Account],
) -> Subscription:
    return Subscription(
        name=name,
        hosts=hosts_,
        trust=TrustAnchors(signing),
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


def _read_signing_certificates(path: Path) -> list[SigningCertificate] | tuple[str, str]:
    """The certificates of a PEM file; or what is wrong with it, and what would be right."""
    try:
        blocks = pem.in_file(read_text(path, MAX_PEM_OCTETS))
        labels = {block.label for block in blocks}
        if any("PRIVATE KEY" in label for label in labels):
            remedy = "hand in the certificate alone; a signing key stays with the CA"
            return "holds a private key", remedy
        if labels != {"CERTIFICATE"}:
            held = ", ".join(sorted(labels)) or "no PEM block"
            return f"holds {held}, not certificates", "name a PEM file with CA certificates"
        return [SigningCertificate.read(block.der) for block in blocks]
    except FileProblemError as error:
        return str(error), error.remedy
    except pem.PemError as error:
        return f"is broken: {error}", "write the PEM file again"
    except UnusableError as error:
        message = f"holds a certificate that cannot sign users' certificates: {error}"
        return message, "name the CA certificate that signs the users' certificates"


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
