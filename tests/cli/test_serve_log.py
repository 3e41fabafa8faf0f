"""`extauthz serve --decision-log`: where decisions go, and that none gets lost."""

import http.client
import os
import resource
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extauthz.cli import build_parser, serve_log
from tests.cli.conftest import Company, Run, Server, forwarded
from tests.observe.log_lines import files_of, ids_in, records_of

Serving = Callable[..., AbstractContextManager[Server]]

WRITTEN = "extauthz_decision_log_written_lines_total"
DROPPED = "extauthz_decision_log_dropped_lines_total"
WRONG = {
    "nothing": (["--decision-log", ""], "'' is neither stdout, nor file:PATH, nor off"),
    "a bare path": (["--decision-log", "/tmp/log"], "is neither stdout, nor file:PATH, nor off"),
    "no path": (["--decision-log", "file:"], "file: needs a path"),
    "off and on": (
        ["--decision-log", "off", "--decision-log", "stdout"], "off goes with no other",
    ),
    "on and off": (
        ["--decision-log", "file:log", "--decision-log", "off"], "off goes with no other",
    ),
    "standard output twice": (
        ["--decision-log", "stdout", "--decision-log", "stdout"], "stdout is given twice",
    ),
    "a file twice": (
        ["--decision-log", "file:log", "--decision-log", "file:./log"], "file:log is given twice",
    ),
    "no number": (
        ["--decision-log-max-mb", "1.5"], "'1.5' is not a whole number from 0 to 1000000",
    ),
    "less than nothing": (["--decision-log-max-hours", "-1"], "'-1' is not a whole number"),
    "deleted at once": (["--decision-log-keep-days", "0"], "a whole number from 1 to 1000000"),
    "none kept": (["--decision-log-keep-mb", "0"], "a whole number from 1 to 1000000"),
    "too much": (["--decision-log-max-mb", "1000001"], "a whole number from 0 to 1000000"),
    "other digits": (["--decision-log-max-mb", "٣"], "a whole number from 0 to 1000000"),
    "much too much": (["--decision-log-fsync-seconds", "0" * 9 + "1" * 5000], "from 0 to 3600"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_wrong_options_are_told(extauthz_here: Run, options: list[str], message: str) -> None:
    """As any wrong use of the command."""
    done = extauthz_here("serve", "--policy", "policy.yaml", *options)

    assert done.returncode == 2
    assert message in done.stderr


def linked(path: Path) -> list[str]:
    path.touch()
    path.with_name("other").hardlink_to(path)
    return [f"file:{path}", f"file:{path.with_name('other')}"]


def missing(path: Path) -> list[str]:
    return [f"file:{path}/log"]


def of_text(path: Path) -> list[str]:
    path.write_text("Good morning\n")
    return [f"file:{path}"]


UNUSABLE: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no directory": (missing, "{}/log: No such file or directory"),
    "a directory": (lambda path: [f"file:{path.parent}"], "Is a directory"),
    "no log": (of_text, "{}: it is there, and does not look like a decision log"),
    "one file by two names": (linked, "/other: this is the same file as file:{}"),
}


@pytest.mark.parametrize(("logs", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_log_that_cannot_be_written_keeps_it_from_starting(
    company: Company, extauthz_here: Run, logs: Callable[[Path], list[str]], message: str
) -> None:
    """Better now than when somebody asks what was decided. Nothing listens yet."""
    path = company.directory / "decisions.log"
    options = [text for log in logs(path) for text in ("--decision-log", log)]
    socket = company.directory / "socket"
    done = extauthz_here(
        "serve", "--policy", company.policy, "--listen", f"unix:{socket}",
        "--admin", f"unix:{socket}-admin", *options,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.startswith("extauthz: decision log file:")
    assert done.stderr.endswith(message.format(path) + "\n")
    assert not socket.exists()
    assert not [each for each in threading.enumerate() if each.name == "decision-log-archive"]


LESS_THAN_A_FILE = {
    "than the default": (
        ["--decision-log-keep-mb", "99"],
        "--decision-log-keep-mb 99 is less than a single file may have: 100 MB",
    ),
    "than was asked for": (
        ["--decision-log-max-mb", "7", "--decision-log-keep-mb", "6"],
        "--decision-log-keep-mb 6 is less than a single file may have: 7 MB",
    ),
    "than a file without a bound": (
        ["--decision-log-max-mb", "0", "--decision-log-keep-mb", "1000000"],
        "--decision-log-keep-mb goes with no --decision-log-max-mb 0: a single file could be more",
    ),
}


@pytest.mark.parametrize(("options", "message"), LESS_THAN_A_FILE.values(), ids=LESS_THAN_A_FILE)
def test_a_bound_that_one_file_may_exceed_keeps_it_from_starting(
    company: Company, extauthz_here: Run, options: list[str], message: str
) -> None:
    """Else each file would be lost as soon as it is finished. No log is begun."""
    log = company.directory / "decisions.log"
    done = extauthz_here(
        "serve", "--policy", company.policy, "--decision-log", f"file:{log}", *options
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"extauthz: {message} ")
    assert not log.exists()


def test_old_files_make_room_for_new_ones(company: Company, serving: Serving) -> None:
    """The start says what the bounds are; what is deleted is said and counted."""
    path = company.directory / "decisions.log"
    ages = [timedelta(days=days) for days in (9, 4, 3, 2, 1)]
    old = [
        path.with_name(f"{path.name}-{datetime.now(UTC) - age:%Y%m%dT%H%M%S.%fZ}") for age in ages
    ]
    for file in old:
        file.write_bytes(os.urandom(800_000))
    with serving(
        company.policy, "--decision-log", "stdout", "--decision-log", f"file:{path}",
        "--decision-log-max-mb", "2", "--decision-log-keep-mb", "2",
        "--decision-log-keep-days", "7",
    ) as server:  # fmt: skip
        server.said(
            f"decision log file:{path}: finished files are deleted when they are older than 7 days,"
            " or more than 2 MB together"
        )
        server.said(rf"finished files deleted: 1, up to {old[0].name}: they were older than 7 days")
        server.said(
            rf"finished files deleted: 2, up to {old[2].name}: they were more than 2 MB together"
        )
        deleted = {
            labels: value
            for (name, labels), value in server.metrics().items()
            if name == "extauthz_decision_log_deleted_files_total"
        }
        log = ("destination", f"file:{path}")
        assert deleted == {
            frozenset({log, ("reason", "age")}): 1,
            frozenset({log, ("reason", "size")}): 2,
        }
        assert server.stop() == 0
    assert files_of(path) == [*(file.with_name(f"{file.name}.gz") for file in old[3:]), path]


def written_by(server: Server) -> dict[tuple[str, str], float]:
    """How many lines each destination has."""
    return {
        label: value
        for (name, labels), value in server.metrics().items()
        for label in labels
        if name == WRITTEN
    }


def test_lines_go_to_every_destination(company: Company, serving: Serving) -> None:
    """Each has all of them."""
    first, second = company.directory / "first", company.directory / "second"
    with serving(
        company.policy, "--decision-log", "stdout", "--decision-log", f"file:{first}",
        "--decision-log", f"file:{second}",
    ) as server:  # fmt: skip
        assert server.check(company.alice, request_id="a") == 200
        assert server.check(request_id="b") == 403
        # With the certificate's own.
        counts = {
            ("destination", name): 3.0 for name in ("stdout", f"file:{first}", f"file:{second}")
        }
        server.eventually(lambda: written_by(server) == counts)
        assert server.stop() == 0
        assert [line["request_id"] for line in server.decisions()] == ["a", "b"]
    assert ids_in(records_of(first)) == ids_in(records_of(second)) == ["a", "b"]
    assert not stat.S_IMODE(first.stat().st_mode) & 0o007


def test_lines_go_nowhere_where_that_is_asked_for() -> None:
    """Not to standard output either."""
    options = build_parser().parse_args(["serve", "--policy", "file", "--decision-log", "off"])

    assert serve_log.opened(options).logs == ()


class Load:
    """Asks all the time, in a thread, with an id of its own for each check."""

    def __init__(self, company: Company, server: Server, name: str) -> None:
        self._headers = {
            "Host": "acme.example.com",
            "x-forwarded-client-cert": forwarded(company.alice),
            # So that a file is soon full.
            "User-Agent": "x" * 2000,
        }
        self._server = server
        self._name = name
        self._end = threading.Event()
        self.answers: list[int] = []
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        connection = self._server.connect()
        while not self._end.is_set():
            identifier = f"{self._name}-{len(self.answers)}"
            try:
                headers = self._headers | {"x-request-id": identifier}
                connection.request("GET", "/check/", headers=headers)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                break
            self.answers.append(response.status)
            time.sleep(0.002)
        connection.close()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def end(self) -> int:
        """How many were answered; all of them as they should be."""
        self.stop()
        assert set(self.answers) == {200}
        return len(self.answers)


@contextmanager
def loaded(company: Company, server: Server, name: str) -> Iterator[Load]:
    load = Load(company, server, name)
    try:
        yield load
    finally:
        load.stop()


def test_two_share_a_file_that_is_rotated_and_one_is_killed(
    company: Company, serving: Serving
) -> None:
    """Each line is whole and there once; what a metric counted as written is there.

    The one that was killed is started anew, and goes on.
    """
    path = company.directory / "decisions.log"
    log = f"file:{path}"
    options = ("--decision-log", log, "--decision-log-max-mb", "1")
    with (
        serving(company.policy, *options) as one,
        serving(company.policy, *options) as other,
        loaded(company, one, "one") as load,
    ):
        with loaded(company, other, "other") as others:
            other.eventually(lambda: len(others.answers) > 200, 60)
            counted = other.metric(WRITTEN, destination=log)
            other.signal(signal.SIGKILL)
            other.process.wait()
            others.end()
        with serving(company.policy, *options) as again, loaded(company, again, "again") as more:
            again.eventually(lambda: len(more.answers) > 100 and len(files_of(path)) > 2, 60)
            asked_again = more.end()
            asked = load.end()
            assert again.stop() == 0
        assert one.stop() == 0
    records = records_of(path)
    ids = [str(each) for each in ids_in(records)]

    assert len(ids) == len(set(ids))
    for name, number in (("one", asked), ("again", asked_again)):
        own = [each for each in ids if each.startswith(f"{name}-")]
        assert own == [f"{name}-{index}" for index in range(number)]
    killed = [each for each in ids if each.startswith("other-")]
    assert killed == [f"other-{index}" for index in range(len(killed))]
    # Counted are also the records of the one certificate, at first and after each rotation.
    assert len(killed) >= counted - len(files_of(path)) > 100
    # What was not compressed at the end is at the next start.
    assert files_of(path)[0].suffix == ".gz"


def test_checks_go_on_while_the_disk_is_full_or_the_directory_gone(
    company: Company, serving: Serving
) -> None:
    """Lines wait until they can be written; what was removed comes back."""
    path = company.directory / "logs" / "decisions.log"
    path.parent.mkdir()
    log = f"file:{path}"

    def written() -> float:
        return server.metric(WRITTEN, destination=log)

    with serving(company.policy, "--decision-log", log) as server:
        assert server.check(company.alice, request_id="before") == 200
        server.eventually(lambda: written() == 2)
        # No file of the process may become larger than this one is.
        limit = (path.stat().st_size, resource.RLIM_INFINITY)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limit)
        for index in range(20):
            assert server.check(company.alice, request_id=f"full{index}") == 200
        server.said(r"decision log file:\S+: it cannot be written: File too large")
        assert written() == 2
        assert server.metric("extauthz_decision_log_waiting_bytes", destination=log) > 0
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
        server.eventually(lambda: written() == 22)
        server.said("it is written again")
        assert ids_in(records_of(path)) == ["before", *(f"full{index}" for index in range(20))]

        shutil.rmtree(path.parent)
        assert server.check(company.alice, request_id="removed") == 200
        server.eventually(path.exists)
        server.eventually(lambda: written() >= 23)
        assert ids_in(records_of(path)) == ["removed"]
        assert server.metric(DROPPED, destination=log) == 0
        assert server.stop() == 0
