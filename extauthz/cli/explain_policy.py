"""`extauthz explain --policy FILE`: a request that somebody describes, decided under a policy."""

import argparse
import asyncio
import difflib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from extauthz.accounts import Accounts
from extauthz.certificate import PeerCertificate
from extauthz.cli.explained import Style, as_json, lines, paragraph
from extauthz.cli.explained_answers import Answer, answer_lines, answers_json, answers_of
from extauthz.cli.policies import policy_of
from extauthz.files import FileProblemError
from extauthz.findings import Finding
from extauthz.lookup import AccountFile
from extauthz.policy import DEFAULT_DENIAL, Mode, Policy, Subscription
from extauthz.quoting import printable, quoted
from extauthz.rehearsal import NO_CERTIFICATE, Facts, demanding, narrowed, rehearsal
from extauthz.trial import claims, peer_file
from extauthz.trial.claims import Claim
from extauthz.trial.tried import Tried, tried
from extauthz.trial.written import WrittenError

__all__ = ["run"]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of the request."""

    tried: Tried
    demanded: Tried | None
    """What would come of it if certificates were demanded of this user, where none is."""
    notes: tuple[str, ...] = ()
    """What to know about it besides: sentences."""


def run(options: argparse.Namespace) -> int:
    policy = policy_of(options.policy, datetime.now(UTC))
    if policy is None:
        return 2
    try:
        facts, notes = _facts(options, policy)
    except FileProblemError as error:
        print(printable(f"extauthz explain: {error}; {error.remedy}"), file=sys.stderr)
        return 2
    except WrittenError as error:
        print(printable(f"extauthz explain: --login: {error}; {error.remedy}"), file=sys.stderr)
        return 2
    outcome = asyncio.run(_outcome(policy, facts, options.at or datetime.now(UTC)))
    notes += tuple(_notes(options, policy, outcome))
    outcome = replace(outcome, notes=notes)
    if options.json:
        print(json.dumps(_report(outcome), indent=2))
    else:
        for line in _text(outcome, Style.of_output()):
            print(line)
    return 0 if outcome.tried.decision.allowed else 1


def _facts(options: argparse.Namespace, policy: Policy) -> tuple[Facts, tuple[str, ...]]:
    path = options.path or "/"
    claimed = [] if options.login is None else [Claim(options.login, options.login_source)]
    read = claims.read(claimed, path, policy.subscription_for(options.host))
    peer: PeerCertificate | Finding = NO_CERTIFICATE
    if options.certificate is not None:
        peer = peer_file.peer(options.certificate, options.chain)
    facts = Facts(
        options.host, read.logins, peer, options.method or "GET", path, options.client or ""
    )
    return facts, read.notes


def _notes(options: argparse.Namespace, policy: Policy, outcome: _Outcome) -> Iterator[str]:
    """What the outcome depends on that whoever asks may not have thought of."""
    subscription = policy.subscription_for(options.host)
    if subscription is None:
        hosts = [host for each in policy.subscriptions.values() for host in each.hosts]
        close = difflib.get_close_matches(options.host, hosts, n=3)
        if close:
            yield f"The policy has the hosts {', '.join(map(quoted, close))}."
        return
    if options.at is not None and _depends_on_today(subscription):
        yield "CRLs, OCSP answers and accounts are those of today, whatever --at says."
    is_refused = not (outcome.demanded or outcome.tried).record.allowed
    has_networks = any(each.networks for each in subscription.exemptions)
    if is_refused and has_networks and options.client is None:
        yield "Without --client, no exemption with `from` covers the request."


def _depends_on_today(subscription: Subscription) -> bool:
    revocation = subscription.revocation
    is_elsewhere = not isinstance(subscription.accounts, (Accounts, AccountFile))
    return is_elsewhere or (
        revocation is not None and (bool(revocation.crls) or revocation.ocsp is not None)
    )


async def _outcome(policy: Policy, facts: Facts, at: datetime) -> _Outcome:
    async with rehearsal(narrowed(policy, [facts.host])) as rehearsed:
        first = await tried(rehearsed, facts, at)
        demanded = None
        if first.record.mode in {Mode.OFF, Mode.AUDIT}:
            stricter = rehearsed.under(demanding(rehearsed.snapshot.policy))
            demanded = await tried(stricter, facts, at)
        return _Outcome(first, demanded)


def _text(outcome: _Outcome, style: Style) -> Iterator[str]:
    first, demanded = outcome.tried, outcome.demanded
    yield from lines(first.explanation, style)
    if demanded is None:
        yield from answer_lines(_answers(first), style)
    else:
        yield ""
        yield "If certificates were demanded of this user:"
        if first.record.mode is Mode.OFF:
            yield ""
            yield from lines(demanded.explanation, style)
        else:
            yield from paragraph(demanded.explanation.verdict, style)
        yield from answer_lines(_answers(demanded), style)
    if outcome.notes:
        yield ""
    for note in outcome.notes:
        yield from paragraph(f"Note: {note}", style, "", "      ")


def _answers(tried: Tried) -> list[Answer]:
    """What the client gets; none where the service answers."""
    decision = tried.decision
    if decision.allowed:
        return []
    subscription = decision.subscription
    return answers_of(DEFAULT_DENIAL if subscription is None else subscription.denial)


def _report(outcome: _Outcome) -> dict[str, object]:
    demanded = outcome.demanded
    return {
        **as_json(outcome.tried.explanation),
        "answer": answers_json(_answers(outcome.tried)),
        "if_demanded": None
        if demanded is None
        else {**as_json(demanded.explanation), "answer": answers_json(_answers(demanded))},
        "notes": outcome.notes,
    }
