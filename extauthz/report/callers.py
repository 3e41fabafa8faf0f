"""Who came, and how it went for them: one pass over the lines, and everything else from that.

The rules:

- A check is its account's; without one, its login's, unless that is made up: it was refused as
  unknown, and no certificate stands beside it that leads to a signing certificate. Anybody can
  claim a login, and sign a certificate for any name.
- Else it is whose certificate it is: who alone came with that certificate and a login or an
  account; if that is nobody, the certificate's first name, its subject, or its fingerprint,
  unless that is made up, too.
- Else, without a certificate, it is whose client it is: who alone came from that address, with
  that user agent, without a certificate too, and with a login. So does a browser, which carries
  its login to the login page alone.
- Else nobody is *known*: it goes by the login that it made up, or by address and user agent.
- A caller is a person where it comes with a browser, and an integration where it comes with
  anything else. Who does both counts as both, under the same name.
- A *way in* is a caller with one user agent, whatever its version numbers. Its last check counts:
  it would break if that failed. Who was mended since does not, nor who is exempted.
- A subscription's mode is its own; that of a check is `audit`, too, where
  `certificate_required_for` leaves its user out.
- `mode: off` checks nothing, and counts for nothing but its number.
"""

from typing import Final

from extauthz.findings import Reason
from extauthz.records.user_agent import BROWSER, NO_BROWSER, CallerKind
from extauthz.report.source import LineKind, Selection, Source
from extauthz.report.times import utc

__all__ = ["AGENT", "KIND", "SELECTED", "called", "gather", "is_made_up", "whose"]

SELECTED: Final = "selected"
"""Of what kind the checks are that were asked for."""

_COLUMNS: Final = {
    "request_id": "VARCHAR",
    "client": "VARCHAR",
    "user_agent": "VARCHAR",
    "login": "VARCHAR",
    "mode": "VARCHAR",
    "subscription_mode": "VARCHAR",
    "details": "VARCHAR[]",
    "exempt": "VARCHAR",
    "accounts": "VARCHAR[]",
    "signing_certificate": "STRUCT(label VARCHAR, sha256 VARCHAR)",
    "certificate": "STRUCT(sha256 VARCHAR, subject VARCHAR, not_after VARCHAR, names VARCHAR[])",
}

_KEYS: Final = {
    "subscription": "subscription",
    "mode": "mode",
    "own_mode": "coalesce(subscription_mode, mode)",
    "decision": "decision",
    "reasons": "array_to_string(reasons, ' ')",
    "exempt": "exempt",
    "login": "nullif(login, '')",
    "account": "CASE WHEN len(accounts) = 1 THEN nullif(accounts[1], '') END",
    "client": "client",
    "user_agent": "user_agent",
    "certificate": "certificate.sha256",
    "signing": "signing_certificate.sha256",
}
"""By which checks are told apart; what else is said of them is the same, or the last counts."""


def gather(source: Source) -> None:
    """Make the tables `seen`, `hours`, `checks` and `ways`. Raises as `Source.rows` does."""
    source.run(_seen(source), "Reading the decision logs")
    for sql in (_HOURS, _CHECKS, _WAYS):
        source.run(sql, "Telling callers apart")


def _seen(source: Source) -> str:
    """Everything that the lines say, in groups: by all keys, and by hour."""
    kind = f"CASE WHEN {source.is_selected} THEN '{SELECTED}' ELSE kind END"
    keys = dict(_KEYS)
    if source.selection != Selection():
        # What was not asked for is counted, and told apart no further.
        keys = {k: f"CASE WHEN {source.is_selected} THEN {sql} END" for k, sql in keys.items()}
    told_apart = ", ".join(f"{sql} AS {name}_" for name, sql in keys.items())
    by_all = ", ".join(f"{name}_" for name in keys)
    return f"""
        CREATE TEMP TABLE seen AS
        SELECT {kind} AS what, {told_apart},
            CASE WHEN {source.is_selected} THEN date_trunc('hour', "time") END AS hour,
            grouping(user_agent_) = 1 AS is_by_hour,
            count(*) AS n, min("time") AS first_time, max("time") AS last_time,
            arg_max_null(request_id, "time") FILTER (decision = 'deny') AS request_id,
            arg_max_null(details[1], "time") FILTER (decision = 'deny') AS detail,
            first(certificate.subject) AS subject,
            {utc("first(certificate.not_after)")} AS not_after,
            first(certificate.names[1]) AS cert_name,
            first(signing_certificate.label) AS label,
            sum(dropped) FILTER (kind = '{LineKind.GAP}' AND {source.is_within}) AS dropped
        FROM {source.lines(_COLUMNS)}
        GROUP BY GROUPING SETS (
            (what, {by_all}), (what, subscription_, mode_, own_mode_, decision_, exempt_, hour)
        )"""  # noqa: S608 (our own text)


_HOURS = f"""
    CREATE TEMP TABLE hours AS
    SELECT subscription_ AS subscription, mode_ AS mode, own_mode_ AS own_mode, hour,
        decision_ = 'deny' AS failed, exempt_ IS NOT NULL AS exempt, sum(n) AS n,
        min(first_time) AS first_time, max(last_time) AS last_time
    FROM seen WHERE is_by_hour AND what = '{SELECTED}' GROUP BY ALL"""  # noqa: S608

KIND: Final = f"""
    CASE WHEN regexp_matches(user_agent, '{BROWSER}')
        AND NOT regexp_matches(user_agent, '{NO_BROWSER}')
    THEN '{CallerKind.PERSON}' ELSE '{CallerKind.INTEGRATION}' END"""
"""What a caller is, by its `user_agent`: see `records.user_agent`."""

AGENT: Final = r"regexp_replace(user_agent, '([/ :(]v?)\d[\w.+-]*', '\1*', 'g')"
"""A `user_agent` without its version numbers: these follow a slash, a space, a colon or a bracket,
perhaps with a `v`."""


def whose(checks: str, claims: str, certificate: str, claimed: str) -> str:
    """Joins that say whose `checks` are that claim to be nobody's, as `holder` and `visitor`.

    `claims` has all checks; `certificate` and `claimed` are columns of both.
    """
    return f"""
        LEFT JOIN (
            SELECT subscription, {certificate}, any_value({claimed}) AS holder FROM {claims}
            WHERE {certificate} IS NOT NULL AND {claimed} IS NOT NULL
            GROUP BY ALL HAVING count(DISTINCT {claimed}) = 1
        ) AS holders ON holders.{certificate} = {checks}.{certificate}
            AND holders.subscription IS NOT DISTINCT FROM {checks}.subscription
        LEFT JOIN (
            SELECT subscription, client, user_agent, any_value({claimed}) AS visitor FROM {claims}
            WHERE {certificate} IS NULL AND {claimed} IS NOT NULL
            GROUP BY ALL HAVING count(DISTINCT {claimed}) = 1
        ) AS visitors ON {checks}.{certificate} IS NULL
            AND visitors.client IS NOT DISTINCT FROM {checks}.client
            AND visitors.user_agent IS NOT DISTINCT FROM {checks}.user_agent
            AND visitors.subscription IS NOT DISTINCT FROM {checks}.subscription"""  # noqa: S608


def is_made_up(reasons: str, signing: str) -> str:
    """Whether whom a check claims to be from may be nobody; SQL of its `reasons`, list or text."""
    return f"(contains({reasons}, '{Reason.ACCOUNT_UNKNOWN}') AND {signing} IS NULL)"


def called(known_as: str, of: str) -> str:
    """The name of a caller, whether or not it is known; `of` has its `login` and the like."""
    return f"""
        coalesce({known_as}, nullif({of}.login, ''), concat_ws(', ',
            coalesce({of}.client, 'unknown address'), coalesce({of}.user_agent, 'no user agent')
        ))"""


_CHECKS = f"""
    CREATE TEMP TABLE checks AS
    WITH
    claims AS (
        SELECT * RENAME (
            subscription_ AS subscription, mode_ AS mode, own_mode_ AS own_mode,
            decision_ AS decision,
            reasons_ AS reasons, exempt_ AS exempt, login_ AS login, account_ AS account,
            client_ AS client, user_agent_ AS user_agent, certificate_ AS certificate,
            signing_ AS signing
        ), {is_made_up("reasons_", "signing_")} AS is_made_up,
        coalesce(account_, CASE WHEN NOT is_made_up THEN login_ END) AS claimed
        FROM seen
        WHERE NOT is_by_hour AND what = '{SELECTED}' AND mode_ IS DISTINCT FROM 'off'
    ),
    named AS (
        SELECT claims.*, coalesce(
            claimed, holder, CASE WHEN NOT is_made_up
                THEN coalesce(nullif(cert_name, ''), nullif(subject, ''), claims.certificate)
            END, visitor
        ) AS known_as
        FROM claims {whose("claims", "claims", "certificate", "claimed")}
    )
    SELECT *, known_as IS NOT NULL AS is_known,
        {called("known_as", "named")} AS caller, {KIND} AS kind, coalesce({AGENT}, '') AS agent
    FROM named"""  # noqa: S608

# Of checks at the same instant, one that failed is the last: that errs on the safe side.
_LAST = "row(last_time, decision)"

_WAYS = f"""
    CREATE TEMP TABLE ways AS
    SELECT * REPLACE (
        bool_or(is_known) OVER (PARTITION BY subscription, caller, kind) AS is_known
    )
    FROM (
        SELECT subscription, caller, kind, agent, bool_or(is_known) AS is_known,
            sum(n) FILTER (decision = 'deny') AS failed,
            min(first_time) AS first_time, max(last_time) AS last_time,
            min(first_time) FILTER (decision = 'deny') AS first_failed,
            max(last_time) FILTER (decision = 'deny') AS last_failed,
            arg_max(decision, {_LAST}) = 'deny' AS breaks,
            arg_max_null(mode, {_LAST}) AS last_mode,
            arg_max_null(own_mode, {_LAST}) AS last_own_mode,
            arg_max(row(reasons, detail, user_agent, request_id), {_LAST}) AS last,
            arg_max(row(certificate, subject, not_after, last_time), {_LAST}) FILTER (
                decision = 'allow' AND certificate IS NOT NULL
            ) AS came_with
        FROM checks GROUP BY ALL
    )"""  # noqa: S608
