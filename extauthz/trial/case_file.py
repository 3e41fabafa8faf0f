"""A file of policy tests, to requests and expectations, or to everything that is wrong with it.

It is as strict as the policy file: a test that does not say what its author meant would pass.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from extauthz.certificate import PeerCertificate
from extauthz.files import FileProblemError, Place, read_text
from extauthz.findings import Finding, Reason
from extauthz.policy import Policy
from extauthz.policyfile import document, loader, shape
from extauthz.policyfile.document import Node
from extauthz.policyfile.problems import Mistake, Problem, Severity, quoted
from extauthz.rehearsal import NO_CERTIFICATE, Facts
from extauthz.trial import claims, peer_file, written
from extauthz.trial.cases_schema import CaseFileModel, CaseModel
from extauthz.trial.claims import Claim
from extauthz.trial.written import WrittenError

__all__ = ["Case", "Expected", "Suite", "read"]

T = TypeVar("T")

MAX_OCTETS = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Expected:
    """What is to come of a request; None for what a case does not say."""

    allowed: bool
    """Whether the request passes."""
    reasons: frozenset[Reason] | None
    tolerated: frozenset[Reason] | None
    accounts: frozenset[str] | None
    exempt: str | None
    says_exempt: bool
    """Whether `exempt` is said; None is then by no exemption."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and what is to come of it."""

    name: str
    """Untrusted text, as all of the file's is."""
    line: int
    """Where it stands in the file."""
    facts: Facts
    at: datetime | None
    """None for now."""
    expected: Expected
    notes: tuple[str, ...]
    """What the server would not read of it."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A file of policy tests. Where there are problems it has no cases, and none may be run."""

    file: Path
    policy: Policy
    cases: tuple[Case, ...]


def read(file: Path, now: datetime) -> Suite | list[Problem]:
    """Read a file of policy tests, its policy and its certificates, as of `now` (aware)."""
    try:
        root, mistakes = document.parse(read_text(file, MAX_OCTETS))
    except FileProblemError as error:
        problem = Problem(file, error.place, Severity.ERROR, f"the file {error}", error.remedy)
        return [problem]
    if root is None or mistakes:
        return [_problem(file, _of_tests(mistake)) for mistake in mistakes]
    try:
        model = CaseFileModel.model_validate(root.plain())
    except ValidationError as error:
        found = shape.mistakes(root, error, CaseFileModel)
        return [_problem(file, each) for each in sorted(found, key=lambda each: each.place)]
    loaded = loader.load(file.parent / model.policy, now)
    if loaded.policy is None:
        return [each for each in loaded.problems if each.severity is Severity.ERROR]
    reading = _Reading(file, root, model, loaded.policy)
    cases = tuple(reading.cases())
    if reading.mistakes:
        in_order = sorted(reading.mistakes, key=lambda mistake: mistake.place)
        return [_problem(file, mistake) for mistake in in_order]
    return Suite(file, loaded.policy, cases)


class _Reading:
    """One reading of a file whose shape is right: collects what cannot be meant."""

    def __init__(self, file: Path, root: Node, model: CaseFileModel, policy: Policy) -> None:
        self._file = file
        self._root = root
        self._model = model
        self._policy = policy
        self.mistakes: list[Mistake] = []

    def cases(self) -> Iterator[Case]:
        """Every case; they count only where there are no mistakes after the last one."""
        at = self._written(self._model.at, _place(self._root, "at"), written.instant)
        named: dict[str, Place] = {}
        for model, node in zip(self._model.cases, _items(self._root), strict=True):
            place = _place(node, "name")
            if model.name in named:
                message = f"there is a case {quoted(model.name)} already"
                remedy = f"it stands in line {named[model.name].line}: give each a name of its own"
                self.mistakes.append(Mistake(place, message, remedy))
            named.setdefault(model.name, place)
            self.mistakes += _contradictions(model, node)
            yield self._case(model, node, at)

    def _case(self, model: CaseModel, node: Node, at: datetime | None) -> Case:
        def read(key: str, text: str | None, reader: Callable[[str], T]) -> T | None:
            return self._written(text, _place(node, key), reader)

        host = read("host", model.host, written.host) or ""
        path = read("path", model.path, written.path) or "/"
        claimed = self._claims(model, node, host, path)
        facts = Facts(
            host, claimed.logins, self._peer(model, node),
            read("method", model.method, written.method) or "GET", path,
            read("client", model.client, written.client) or "",
        )  # fmt: skip
        own = read("at", model.at, written.instant)
        return Case(model.name, node.place.line, facts, own or at, _expected(model), claimed.notes)

    def _claims(self, model: CaseModel, node: Node, host: str, path: str) -> claims.Read:
        given = [Claim(each.login, each.source) for each in model.logins or ()]
        if model.login is not None:
            given = [Claim(model.login)]
        try:
            return claims.read(given, path, self._policy.subscription_for(host))
        except WrittenError as error:
            key = "login" if model.login is not None else "logins"
            self.mistakes.append(Mistake(_place(node, key), str(error), error.remedy))
            return claims.Read((), ())

    def _peer(self, model: CaseModel, node: Node) -> PeerCertificate | Finding:
        if model.certificate is None:
            return NO_CERTIFICATE
        beside = self._file.parent
        chain = None if model.chain is None else beside / model.chain
        try:
            return peer_file.peer(beside / model.certificate, chain)
        except FileProblemError as error:
            self.mistakes.append(Mistake(_place(node, "certificate"), str(error), error.remedy))
            return NO_CERTIFICATE

    def _written(self, text: str | None, place: Place, reader: Callable[[str], T]) -> T | None:
        if text is None:
            return None
        try:
            return reader(text)
        except WrittenError as error:
            self.mistakes.append(Mistake(place, str(error), error.remedy))
            return None


def _contradictions(model: CaseModel, node: Node) -> Iterator[Mistake]:
    """What says nothing, or can never hold."""
    if model.login is not None and model.logins is not None:
        message = "`login` and `logins` both stand here"
        yield Mistake(_place(node, "logins"), message, "list all of them in `logins`")
    if model.chain is not None and model.certificate is None:
        message = "`chain` says nothing without `certificate`"
        yield Mistake(_place(node, "chain"), message, "name the client's certificate, too")
    if model.expect == "deny" and model.reasons == []:
        message = "a request is never refused without a reason"
        yield Mistake(_place(node, "reasons"), message, "list the reasons, or leave the key out")
    if model.expect == "deny" and model.exempt is not None:
        message = "a request that an exemption lets pass is never refused"
        yield Mistake(_place(node, "exempt"), message, "leave it out, or expect allow")


def _expected(model: CaseModel) -> Expected:
    return Expected(
        allowed=model.expect == "allow",
        reasons=None if model.reasons is None else frozenset(model.reasons),
        tolerated=None if model.tolerated is None else frozenset(model.tolerated),
        accounts=None if model.accounts is None else frozenset(model.accounts),
        exempt=model.exempt,
        says_exempt="exempt" in model.model_fields_set,
    )


def _place(node: Node, key: str) -> Place:
    value = node.values.get(key) if isinstance(node, document.Mapping) else None
    return node.place if value is None else value.place


def _items(root: Node) -> list[Node]:
    listed = root.values.get("cases") if isinstance(root, document.Mapping) else None
    return listed.items if isinstance(listed, document.Sequence) else []


def _of_tests(mistake: Mistake) -> Mistake:
    """A mistake of any YAML; what it says of the policy file is said of this one."""
    if mistake.message == "the file is empty":
        return replace(mistake, remedy="begin it with `policy:`, and list `cases:`")
    return mistake


def _problem(file: Path, mistake: Mistake) -> Problem:
    return Problem(file, mistake.place, Severity.ERROR, mistake.message, mistake.remedy)
