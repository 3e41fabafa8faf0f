"""A policy file to a `Policy`, or to everything that is wrong with it.

All mistakes are reported at once, each at its place. A file with an error gives no policy at all:
nothing is ever half applied.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from extauthz.accounts import Account
from extauthz.ca import CaCertificate
from extauthz.files import FileProblemError, Stamp, read_text, stamp
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
    whole,
)
from extauthz.policyfile.authorities import Authorities
from extauthz.policyfile.document import Node, says
from extauthz.policyfile.hosts import Hosts
from extauthz.policyfile.problems import Problem, Problems
from extauthz.policyfile.schema import PolicyModel, SubscriptionModel
from extauthz.policyfile.schema_accounts import DirectoryModel
from extauthz.redaction import Redaction
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
        self._files: dict[Path, Stamp] = {}
        self._problems = Problems(path)
        self._report = self._problems.report
        self._hosts = Hosts(self._report)
        self._authorities = Authorities(path.parent, now, self._note, self._problems)

    def run(self) -> Loaded:
        self._note(self._path)
        policy = self._policy()
        return Loaded(policy, self._problems.in_order(), self._files)

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
        models: Mapping[str, SubscriptionModel] = {}
        if not isinstance(shaped, PolicyModel):
            for mistake in shaped:
                self._report(mistake.place, mistake.message, mistake.remedy)
        elif not self._problems.errors:
            models = shaped.subscriptions
        subscriptions: list[Subscription] = []
        # The meaning is checked on the tree, which is there whether or not the shape is right.
        for name, node in _subscriptions(root):
            before = self._problems.errors
            parts = self._parts(name, node)
            model = models.get(name)
            if model is None:
                continue
            if self._problems.errors > before:
                self._doubt(_about_places(model, self._path.parent), node)
                continue
            subscription = _subscription(name, model, parts, self._path.parent)
            self._doubt(whole.doubts(subscription, self._now), node)
            subscriptions.append(subscription)
        redaction = self._redaction(root)
        return None if self._problems.errors else Policy(subscriptions, redaction)

    def _doubt(self, doubts: Iterable[whole.Doubt], node: document.Mapping) -> None:
        for doubt in doubts:
            at = document.followed(node, (doubt.setting, *doubt.steps))
            self._report(at.place, doubt.message, doubt.remedy, doubt.severity)

    def _note(self, path: Path) -> None:
        """Keep what a file was like before it was read first."""
        if path not in self._files:
            self._files[path] = stamp(path)

    def _parts(self, name: str, node: document.Mapping) -> "_Parts":
        hosts = self._hosts.of(name, node.values.get("hosts"))
        listed = self._accounts(node)
        logins.check(node, self._report)
        exemptions.check(node, self._now, self._report)
        requirements.check(node.values.get("require"), self._report)
        revocation.check(node.values.get("revocation"), self._report)
        for part in (node.values.get("revocation"), node.values.get("session"),
                     *_parts_of(node.values.get("accounts"))):  # fmt: skip
            self._authorities.check_bundle(part)
        return _Parts(
            hosts,
            self._authorities.signing_certificates(node),
            self._authorities.intermediates(node),
            listed,
        )

    def _redaction(self, root: Node) -> Redaction | None:
        node = root.values.get("decision_log") if isinstance(root, document.Mapping) else None
        path = decision_log.key_file(node, self._path.parent)
        if path is not None:
            self._note(path)
        return decision_log.redaction(node, self._path.parent, self._report)

    def _accounts(self, node: document.Mapping) -> list[Account]:
        given = node.values.get("accounts")
        kind = says(node, "identity", otherwise=IdentityKind.EMAIL)
        listed: list[Account] = []
        if kind in set(IdentityKind):
            listed = accounts.check(node, IdentityKind(str(kind)), self._report)
        if not _has_entries(given) and says(node, "verify_email", otherwise=True) is True:
            place = node.place if given is None else given.place
            message = "no accounts, and yet emails are verified: nobody could come in"
            self._report(place, message, "list `accounts`, or set `verify_email: false`")
        return listed


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


def _about_places(model: SubscriptionModel, beside: Path) -> Iterator[whole.Doubt]:
    """The doubts that need no subscription without mistakes."""
    directory = None
    if isinstance(model.accounts, DirectoryModel):
        directory = accounts.directory(model.accounts, IdentityKind(model.identity), beside)
    return whole.about_places(directory, logins.session(model.session, beside))


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
