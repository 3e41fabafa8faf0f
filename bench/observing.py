"""What the decision log and spans cost a check. `make bench` prints it with the rest.

Each way of observing is a server of its own; they are loaded in turn with the floor. A span is
sent long after its check: each load lasts until the server has nothing left to do.
"""

import contextlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import logins
from wrk import HOST, Measured, check_metrics, floor, load, median, on_processor

from extauthz.demo.authority import authority, name, user
from extauthz.demo.processes import Program, wait_until

__all__ = ["cost"]

FLOOR, COLLECTOR, FIRST = 19200, 19201, 19210
CA = authority(name("Bench CA", "Bench"))
ALICE = user(CA, "Alice", "alice@s0.example")


@dataclass(frozen=True)
class Way:
    """A way of observing checks."""

    options: tuple[str, ...]
    ratio: str | None = None
    """Of spans; None for no tracing."""

    def command(self, directory: Path, number: int) -> list[str]:
        """A server that observes like this."""
        given: list[str] = []
        options = [option.replace("DIRECTORY", str(directory)) for option in self.options]
        if self.ratio is not None:
            options.append("--tracing")
            given = [
                "env",
                f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{HOST}:{COLLECTOR}",
                "OTEL_TRACES_SAMPLER=traceidratio",
                f"OTEL_TRACES_SAMPLER_ARG={self.ratio}",
                "OTEL_BSP_SCHEDULE_DELAY=200",
                # None is to be dropped: that would be cheaper.
                "OTEL_BSP_MAX_QUEUE_SIZE=1000000",
            ]
        serve = ["-m", "extauthz", "serve", "--policy", str(directory / "observed.yaml")]
        serve += ["--listen", f"{HOST}:{check_port(number)}"]
        serve += ["--admin", f"{HOST}:{check_port(number) + 1}"]
        return [*given, *on_processor(0), sys.executable, *serve, *options]


OFF = ("--decision-log", "off")
WAYS = {
    "nothing": Way(OFF),
    "log to stdout, a file": Way(()),
    "log to file:": Way(("--decision-log", "file:DIRECTORY/decisions.jsonl")),
    "spans of 0 %": Way(OFF, "0"),
    "spans of 1 %": Way(OFF, "0.01"),
    "spans of 10 %": Way(OFF, "0.1"),
    "spans of all": Way(OFF, "1"),
}


def check_port(number: int) -> int:
    return FIRST + 2 * number


def cost(directory: Path, seconds: int, rounds: int) -> None:
    """Print it."""
    (directory / "ca.pem").write_text(CA.pem)
    (directory / "observed.yaml").write_text(
        "subscriptions:\n  basic:\n    hosts: [basic.example]\n    signing_certificates: [ca.pem]\n"
        "    accounts: {alice: alice@s0.example}\n"
    )
    script = logins.write_script(directory, "observed", logins.REQUESTS["Basic"], ALICE)
    with contextlib.ExitStack() as running:

        def started(label: str, command: list[str], port: int) -> Program:
            program = running.enter_context(Program(label, command, directory))
            wait_until(program, HOST, port)
            return program

        yes = started("floor", floor(FLOOR), FLOOR)
        # It says yes to spans too.
        started("collector", floor(COLLECTOR, processor=1), COLLECTOR)
        servers = [
            started(f"observed-{number}", way.command(directory, number), check_port(number))
            for number, way in enumerate(WAYS.values())
        ]
        measured: dict[str, list[Measured]] = {label: [] for label in ("floor", *WAYS)}
        for _ in range(rounds):
            measured["floor"].append(load(yes, FLOOR, script, seconds))
            for number, (label, server) in enumerate(zip(WAYS, servers, strict=True)):
                measured[label].append(load(server, check_port(number), script, seconds))
        for number in range(len(WAYS)):
            check_metrics(check_port(number) + 1)
    for server in servers:
        assert "lost" not in server.stderr.read_text(), server.last_words()
    report(measured)


def report(measured: dict[str, list[Measured]]) -> None:
    rounds = len(measured["floor"])
    print(f"What observing costs a check with Basic: medians of {rounds} rounds\n")
    heads = ("p50 µs", "p99 µs", "CPU µs", "of floor", "more")
    print(f"{'':24}{'requests/s':>12}" + "".join(f"{head:>9}" for head in heads))
    for label, loads in measured.items():
        cpu = median(each.cpu_us for each in loads)
        pairs = zip(loads, measured["floor"], strict=True)
        ratio = median(each.cpu_us / yes.cpu_us for each, yes in pairs)
        pairs = zip(loads, measured["nothing"], strict=True)
        more = median(each.cpu_us - without.cpu_us for each, without in pairs)
        print(
            f"{label:24}{median(each.rate for each in loads):12,.0f}"
            f"{median(each.p50_us for each in loads):9.0f}"
            f"{median(each.p99_us for each in loads):9.0f}"
            f"{cpu:9.1f}{ratio:9.2f}"
            + (f"{more:+9.1f}" if label not in {"floor", "nothing"} else "")
        )
    print()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as made:
        cost(Path(made), seconds=3, rounds=3)
