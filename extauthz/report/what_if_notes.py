"""What to know about the numbers of a replay: what of the past it cannot have as it was."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from extauthz.accounts import Accounts
from extauthz.evidence.lists import Lists
from extauthz.login import Bearer, ClientCertificate, Form, HeaderField, JsonBody, Jwt
from extauthz.policy import Mode, Policy, Subscription
from extauthz.quoting import quoted
from extauthz.report.what_if_tables import Tables

__all__ = ["notes"]

_NAMED: Final = (HeaderField, Bearer, Jwt, Form, JsonBody)
"""Sources that have a name of their own, which no record has."""


def notes(tables: Tables, policy: Policy, lists: Lists) -> tuple[str, ...]:
    """What to know; `policy` has the subscriptions that are concerned."""
    deciding = [each for each in policy.subscriptions.values() if each.mode is not Mode.OFF]
    return (
        *_of_today(deciding),
        *_lists(deciding, lists),
        *_logins(tables, deciding),
        *_sessions(deciding),
    )


def _of_today(deciding: list[Subscription]) -> Iterator[str]:
    """What is held against all checks as it is now."""
    revocations = [each.revocation for each in deciding if each.revocation is not None]
    today: list[str] = []
    if any(each.crls for each in revocations):
        today.append("CRLs")
    if any(each.ocsp for each in revocations):
        today.append("OCSP answers")
    if any(not isinstance(each.accounts, Accounts) for each in deciding):
        today.append("directories of accounts")
    if today:
        yield (
            f"Of today: {', '.join(today)}. Each check is decided as of its own time, but by what"
            " they say now: who is revoked counts as revoked all along."
        )


def _lists(deciding: list[Subscription], lists: Lists) -> Iterator[str]:
    sources = {
        source: None
        for each in deciding
        if each.revocation is not None
        for source in each.revocation.crls
    }
    for source in sources:
        known = lists.sources.get(source)
        if known is not None and known.problem is not None:
            yield f"CRLs from {quoted(source.location)}: {known.problem}"


def _logins(tables: Tables, deciding: list[Subscription]) -> Iterator[str]:
    [(unread, malformed)] = tables.rows(
        "SELECT count(*) FILTER (subscription IS NULL), count(*) FILTER (login_problem IS NOT NULL)"
        " FROM what_if.seen JOIN what_if.hosts USING (host)"
        " WHERE kind = 'check' AND decides AND NOT failed",
        "Comparing",
    )
    if unread:
        yield (
            f"{_checks(unread)} {'was of a host' if unread == 1 else 'were of hosts'} that"
            f" {'was' if unread == 1 else 'were'} nobody's: no login was read, so"
            f" {'it is' if unread == 1 else 'they are'} decided by the certificate alone."
        )
    if malformed:
        yield (
            f"{_checks(malformed)} {'has' if malformed == 1 else 'have'} a login that could not be"
            " read. It is taken to be unreadable for the new policy, too: where it stood is not"
            " recorded."
        )
    recorded: defaultdict[str, set[str]] = defaultdict(set)
    for target, source in tables.rows(
        "SELECT DISTINCT target, unnest(list_append("
        " list_transform(coalesce(claimed_besides, []), lambda each: each.source), claimed_source))"
        " FROM what_if.groups",
        "Comparing",
    ):
        recorded[str(target)].add(str(source))
    for each in deciding:
        sources = {s.source for s in each.login if not isinstance(s, ClientCertificate)}
        absent = sorted(sources - recorded[each.name])
        if absent and recorded[each.name] - {"None"} - sources:
            yield (
                f"{quoted(each.name)}: the log has no login from {', '.join(absent)}. Where the"
                " policy of that time did not read it, it was not recorded."
            )
    if any(isinstance(source, _NAMED) for each in deciding for source in each.login):
        yield (
            "A recorded login counts where the new policy reads one of the same kind. The name of"
            " the header, claim or field is not recorded: check it when you change it."
        )


def _checks(count: object) -> str:
    return "1 check" if count == 1 else f"{count:,} checks"


def _sessions(deciding: list[Subscription]) -> Iterator[str]:
    pinned = [each for each in deciding if each.session is not None]
    if not pinned:
        return
    yield "Sessions are not replayed: nothing is found against them here."
    if any(each.required_for is not None for each in pinned):
        yield (
            "`certificate_required_for` goes by the login and the certificate here, and not by"
            " whom a session belongs to."
        )
