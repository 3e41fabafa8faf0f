"""Recorded checks as tables, grouped by what a new policy decides by, and compared.

The log is read once, into a database in a temporary directory that has what is needed here and
nothing else. What Python has to say of it (which host is whose, what a group's outcomes are) comes
back as files of JSON lines. Times are microseconds since 1970.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson

from extauthz.findings import Reason
from extauthz.login import Form, JsonBody
from extauthz.observe.record import MAX_TEXT
from extauthz.policy import Policy
from extauthz.report.callers import called, is_made_up, whose
from extauthz.report.cells import Row, integer
from extauthz.report.source import LineKind, Source, literal
from extauthz.report.what_if_classes import host_row, path_rows
from extauthz.report.what_if_facts import MAX_CERTIFICATE
from extauthz.report.what_if_model import Change

__all__ = ["GROUP", "Tables", "staged"]

PATHS_AT_ONCE: Final = 200_000
"""How many paths are in memory at once."""
_COLUMNS: Final = {
    "request_id": "VARCHAR",
    "host": "VARCHAR",
    "method": "VARCHAR",
    "path": "VARCHAR",
    "client": "VARCHAR",
    "user_agent": "VARCHAR",
    "login": "VARCHAR",
    "login_source": "VARCHAR",
    "other_logins": "STRUCT(login VARCHAR, source VARCHAR)[]",
    "login_problem": "VARCHAR",
    "redacted": "VARCHAR[]",
    "exempt": "VARCHAR",
    "accounts": "VARCHAR[]",
    "certificate": "STRUCT(sha256 VARCHAR, sent VARCHAR, subject VARCHAR, names VARCHAR[])",
    "certificate_problem": "VARCHAR",
    "signing_certificate": "STRUCT(sha256 VARCHAR)",
    "der": "VARCHAR[]",
}

_HOSTS: Final = {
    "host": "VARCHAR",
    "target": "VARCHAR",
    "decides": "BOOLEAN",
    "pins": "BOOLEAN",
    "by_form": "BOOLEAN",
    "by_path": "BOOLEAN",
    "by_method": "BOOLEAN",
    "by_client": "BOOLEAN",
    "paths": "VARCHAR[]",
    "prefixes": "VARCHAR[]",
}
"""A host, the subscription that it would be of, and by what that one decides."""

_SPANS: Final = {
    "number": "BIGINT",
    "since": "BIGINT",
    "until": "BIGINT",
    "unknown": "VARCHAR",
    "allowed": "BOOLEAN",
    "reasons": "VARCHAR",
    "exemption": "VARCHAR",
    "detail": "VARCHAR",
}

_FAILED: Final = f"['{Reason.REQUEST_MALFORMED}', '{Reason.INTERNAL_ERROR}']"
_SESSION: Final = f"['{Reason.SESSION_ACCOUNT_MISMATCH}', '{Reason.SESSION_UNAVAILABLE}']"

# Without an escape, a path is its own normal form, or has none: so it matches a pattern of an
# exemption as it stands, or none at all, and then does not matter.
_PATH_MATTERS: Final = f"""(
    by_form AND (login_source IN ('{Form.source}', '{JsonBody.source}') OR other_logins IS NOT NULL)
    OR by_path AND (
        contains(path, '%') OR length(path) > {MAX_TEXT} OR list_contains(paths, path)
        OR len(list_filter(prefixes, lambda prefix: starts_with(path, prefix))) > 0))"""

GROUP: Final = {
    "target": "target",
    "decides": "decides",
    "unreadable": "host IS NULL OR failed",
    "session": "decides AND pins AND session_fault",
    "claimed": "CASE WHEN decides THEN login END",
    "claimed_source": "CASE WHEN decides THEN login_source END",
    "claimed_besides": "CASE WHEN decides THEN other_logins END",
    "malformed": "decides AND login_problem IS NOT NULL",
    "peer": "CASE WHEN decides THEN certificate END",
    "no_peer": "CASE WHEN decides THEN certificate_problem END",
    "hidden": "decides AND certificate IS NOT NULL AND hides",
    "at_path": f"CASE WHEN decides AND {_PATH_MATTERS} THEN same_as END",
    "with_method": "CASE WHEN decides AND by_method THEN method END",
    "from_client": "CASE WHEN decides AND by_client THEN client END",
}
"""What checks must have in common to be decided at once, and how it is got of `_SEEN`."""

_IS_MADE_UP: Final = is_made_up("reasons", "signing_certificate.sha256")
_SEEN: Final = f"""
    SELECT kind, id, der,
        epoch_us("time") AS moment, request_id, host, method, path, client, user_agent,
        login, login_source,
        CASE WHEN len(other_logins) > 0 THEN other_logins END AS other_logins,
        login_problem,
        len(list_intersect(redacted, ['email', 'login'])) > 0 AS hides,
        subscription, allowed, decision = 'allow' AS passed,
        array_to_string(list_sort(list_distinct(reasons)), ',') AS reasons,
        len(list_intersect(reasons, {_FAILED})) > 0 AS failed,
        len(list_intersect(reasons, {_SESSION})) > 0 AS session_fault,
        exempt,
        coalesce(CASE WHEN len(accounts) = 1 THEN nullif(accounts[1], '') END,
            CASE WHEN NOT {_IS_MADE_UP} THEN nullif(login, '') END) AS claimed_as,
        certificate.sha256 AS fingerprint,
        CASE WHEN NOT {_IS_MADE_UP} THEN coalesce(
            nullif(certificate.names[1], ''), nullif(certificate.subject, ''), fingerprint
        ) END AS named,
        coalesce(certificate.sent, certificate.sha256) AS certificate,
        certificate_problem
    FROM {{lines}}
    WHERE ({{is_selected}}) OR kind = '{LineKind.CERTIFICATE}'
        AND list_sum(list_transform(der, lambda each: strlen(each))) <= {MAX_CERTIFICATE}"""  # noqa: S608 (our own text)

_CERTIFICATES: Final = f"""
    CREATE TABLE what_if.certificates AS SELECT id, any_value(der) AS der FROM what_if.seen
    WHERE kind = '{LineKind.CERTIFICATE}' GROUP BY id"""  # noqa: S608 (our own text)

# Who is known by what, as `callers` has it.
_WHOSE: Final = whose("g", "what_if.seen", "fingerprint", "claimed_as")
_KNOWN_AS: Final = "coalesce(g.claimed_as, holder, g.named, visitor)"
_CALLER: Final = called(_KNOWN_AS, "g")

_CHANGE: Final = f"""
    CASE WHEN span.unknown IS NOT NULL THEN NULL
    WHEN g.allowed AND NOT span.allowed THEN '{Change.REFUSED}'
    WHEN NOT g.allowed AND span.allowed THEN '{Change.ADMITTED}'
    WHEN g.passed AND span.reasons <> '' THEN '{Change.FAILING}'
    WHEN NOT g.passed AND span.reasons = '' THEN '{Change.MENDED}'
    WHEN g.reasons <> span.reasons THEN '{Change.OTHER_REASONS}'
    END"""


class Tables:
    """The recorded checks, in a database of its own."""

    def __init__(self, source: Source, directory: Path) -> None:
        self._source = source
        self._directory = directory
        self._files = 0

    def rows(self, sql: str, doing: str) -> list[Row]:
        """What a query about these tables answers."""
        return self._source.rows(sql, doing)

    def add(
        self, table: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, object]]
    ) -> None:
        """Make a table of what Python knows."""
        self._files += 1
        path = self._directory / f"{self._files}.jsonl"
        with path.open("wb") as file:
            file.writelines(orjson.dumps(row) + b"\n" for row in rows)
        types = ", ".join(f"{name}: {literal(kind)}" for name, kind in columns.items())
        self._source.run(
            f"CREATE TABLE what_if.{table} AS SELECT * FROM read_json({literal(str(path))},"  # noqa: S608
            f" format = 'newline_delimited', columns = {{{types}}})",
            "Taking groups",
        )
        path.unlink()

    def add_hosts(self, policy: Policy, hosts: Iterable[str]) -> None:
        """Say whose each host would be."""
        self.add("hosts", _HOSTS, (host_row(host, policy.subscription_for(host)) for host in hosts))

    def add_paths(self, policy: Policy) -> None:
        """Say which paths are alike, of those that matter."""
        matter = (
            "FROM what_if.seen JOIN what_if.hosts USING (host)"
            f" WHERE kind = '{LineKind.CHECK}' AND decides AND {_PATH_MATTERS}"
        )
        [(count,)] = self.rows(f"SELECT count(DISTINCT path) {matter}", "Grouping checks")
        parts = integer(count) // PATHS_AT_ONCE + 1
        paths = (
            str(path)
            for part in range(parts)
            for (path,) in self.rows(
                f"SELECT DISTINCT path {matter} AND hash(path) % {parts} = {part}",
                "Grouping checks",
            )
        )
        self.add("paths", {"path": "VARCHAR", "same_as": "VARCHAR"}, path_rows(policy, paths))

    def group(self) -> int:
        """Put checks into groups that are decided at once; how many there are."""
        keys = ", ".join(GROUP)
        self._source.run(
            f"CREATE TABLE what_if.groups AS"  # noqa: S608 (our own text)
            f" SELECT row_number() OVER (ORDER BY peer) - 1 AS number, {keys},"
            f" any_value(host) AS host, any_value(login_problem) AS login_problem,"
            f" count(*) AS checks, min(moment) AS first, max(moment) AS last"
            f" FROM ({_keyed()}) GROUP BY {keys}",
            "Grouping checks",
        )
        [(count,)] = self.rows("SELECT count(*) FROM what_if.groups", "Grouping checks")
        return integer(count)

    def add_spans(self, spans: Iterable[Mapping[str, object]]) -> None:
        """Say what the outcomes of each group are, and count what changes."""
        self.add("spans", _SPANS, spans)
        self._source.run(
            f"CREATE TABLE what_if.changed AS"  # noqa: S608 (our own text)
            f" SELECT {_CHANGE} AS change, span.unknown, g.target, g.subscription,"
            f" {_CALLER} AS caller, {_KNOWN_AS} IS NOT NULL AS is_known, g.user_agent,"
            f" CASE WHEN change IS NOT NULL THEN g.reasons END AS before,"
            f" CASE WHEN change IS NOT NULL THEN span.reasons END AS after,"
            f" CASE WHEN change IN ('{Change.REFUSED}', '{Change.FAILING}') THEN g.exempt"
            f" WHEN change IN ('{Change.ADMITTED}', '{Change.MENDED}') THEN span.exemption END"
            f" AS exemption,"
            f" arg_max(span.detail, g.moment) AS detail, count(*) AS checks,"
            f" min(g.moment) AS first, max(g.moment) AS last,"
            f" arg_max(g.request_id, g.moment, 3) AS request_ids"
            f" FROM ({_numbered()}) AS g JOIN what_if.spans AS span"
            f" ON span.number = g.number AND g.moment >= span.since AND g.moment < span.until"
            f" {_WHOSE} GROUP BY ALL",
            "Comparing",
        )

    def note_times(self, numbers: Iterable[int]) -> None:
        """Have the times of these groups at hand, of which there may be some each time."""
        self.add("split", {"number": "BIGINT"}, ({"number": number} for number in numbers))
        self._source.run(
            "CREATE TABLE what_if.times AS SELECT DISTINCT number, moment"  # noqa: S608
            f" FROM ({_numbered()}) JOIN what_if.split USING (number)",
            "Looking at times",
        )

    def times(self, numbers: Iterable[int]) -> dict[int, list[int]]:
        """When the checks of these groups were, sorted, each time once; after `note_times`."""
        listed = ", ".join(map(str, numbers))
        rows = self.rows(
            f"SELECT number, list_sort(list(moment)) FROM what_if.times"  # noqa: S608
            f" WHERE number IN ({listed}) GROUP BY number",
            "Taking groups",
        )
        return {
            integer(number): [int(each) for each in times]
            for number, times in rows
            if isinstance(times, list)
        }


@contextmanager
def staged(source: Source) -> Iterator[Tables]:
    """The selected checks and the certificates of a log, read. Raises as `Source.rows` does."""
    with tempfile.TemporaryDirectory(prefix="extauthz-what-if-") as name:
        directory = Path(name)
        source.run(f"ATTACH {literal(str(directory / 'checks.db'))} AS what_if", "Reading checks")
        try:
            lines = _SEEN.format(lines=source.lines(_COLUMNS), is_selected=source.is_selected)
            source.run(f"CREATE TABLE what_if.seen AS {lines}", "Reading checks")
            source.run(_CERTIFICATES, "Grouping checks")
            yield Tables(source, directory)
        finally:
            source.run("DETACH what_if", "Comparing")


def _keyed() -> str:
    """Every check, with what its group has in common beside its own."""
    keys = ", ".join(f"{expression} AS {name}" for name, expression in GROUP.items())
    return (
        f"SELECT seen.*, {keys} FROM what_if.seen LEFT JOIN what_if.hosts USING (host)"  # noqa: S608
        f" LEFT JOIN what_if.paths USING (path)"
        f" WHERE kind = '{LineKind.CHECK}'"
    )


def _numbered() -> str:
    """Every check with the number of its group."""
    same = " AND ".join(f"keyed.{name} IS NOT DISTINCT FROM groups.{name}" for name in GROUP)
    return (
        f"SELECT number, keyed.* FROM ({_keyed()}) AS keyed"  # noqa: S608 (our own text)
        f" JOIN what_if.groups ON {same}"
    )
