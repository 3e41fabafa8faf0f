"""`extauthz serve`: the check service, from its first policy to the last line of its log."""

import argparse
import asyncio
import contextlib
import importlib
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from extauthz import listeners
from extauthz.admin.application import admin_application
from extauthz.admin.history import History
from extauthz.admin.observed import Observed
from extauthz.cli import serve_admin, serve_log, serve_messages, serve_tracing
from extauthz.cli.serve_admin import Admission, AdmissionError
from extauthz.cli.serve_log import UnusableLogError
from extauthz.cli.serve_tracing import Spans
from extauthz.evidence.kept import state_directory
from extauthz.listeners import Address, Tcp
from extauthz.observe.decision_log import DecisionLogs
from extauthz.observe.metrics import CheckCounters, registry
from extauthz.observe.recorder import Recorder
from extauthz.pins.gathered import GatheredPins
from extauthz.policyfile.live import LivePolicy
from extauthz.policyfile.reminder import remind
from extauthz.server import Checker, check_server
from extauthz.surroundings import Surroundings, surroundings
from extauthz.watch import watch
from extauthz.wire.request import RequestReader

__all__ = ["add_to", "run"]

STOP_SECONDS = 10.0
"""How long checks that run may take to finish after SIGTERM. Envoy waits for one second."""
ADMIN_STOP_SECONDS = 1.0
"""How long an operator may take to read an answer after that."""
STANDARD_ERROR = 2

logger = logging.getLogger(__name__)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "serve",
        help="answer Envoy's checks",
        description="Answer Envoy's ext_authz checks. Messages for the operator go to standard"
        " error. SIGHUP reads the policy again; SIGTERM"
        " finishes what runs and ends.",
    )
    command.add_argument("--policy", type=Path, required=True, metavar="FILE", help="policy file")
    command.add_argument(
        "--listen",
        type=_address,
        default=Tcp("127.0.0.1", 9000),
        metavar="HOST:PORT|unix:PATH",
        help="where Envoy asks (default: 127.0.0.1:9000)",
    )
    command.add_argument(
        "--admin",
        type=_address,
        default=Tcp("127.0.0.1", 9001),
        metavar="HOST:PORT|unix:PATH",
        help="where the admin pages, /healthz, /readyz and /metrics are (default: 127.0.0.1:9001)",
    )
    command.add_argument(
        "--allow-from",
        type=_network,
        action="append",
        default=[],
        metavar="CIDR",
        help="who may ask besides loopback; may be given again (default: nobody)",
    )
    command.add_argument(
        "--state",
        type=Path,
        default=state_directory(),
        metavar="DIR",
        help="where fetched CRLs are kept for a restart without network (default: %(default)s)",
    )
    for options in (serve_log, serve_admin, serve_tracing):
        options.add_to(command)
    command.set_defaults(run=run)


def _address(text: str) -> Address:
    try:
        return listeners.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(options: argparse.Namespace) -> int:
    # Until the policy is read for the first time, there is nothing to read again.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with serve_messages.heard(STANDARD_ERROR):
            admitted = serve_admin.admission(options)
            logs = serve_log.opened(options)
            with listeners.bind(options.listen) as check, listeners.bind(options.admin) as admin:
                return _run_loop(_serve(options, _Opened(check, admin, admitted, logs)))
    except (listeners.AddressInUseError, AdmissionError, UnusableLogError) as error:
        print(f"extauthz: {error}", file=sys.stderr)
        return 1


def _run_loop(main: Coroutine[None, None, int]) -> int:
    """Run on uvloop where it is installed; it has no Windows and lags behind new Pythons."""
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        new_loop = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is there before anything is answered: a mistake in it keeps the server from starting."""

    check: socket.socket
    admin: socket.socket
    admitted: Admission
    logs: DecisionLogs


async def _serve(options: argparse.Namespace, opened: _Opened) -> int:
    with serve_tracing.opened(options) as tracing:
        async with surroundings(options.state) as around, GatheredPins() as pins:
            return await _answer(options, opened, around, pins, tracing)


async def _answer(
    options: argparse.Namespace,
    opened: _Opened,
    around: Surroundings,
    pins: GatheredPins,
    tracing: Sequence[Spans],
) -> int:
    logs = opened.logs
    live = LivePolicy(options.policy, around.evidence, around.directories, pins)
    stop = _on_signals(live)
    if not await live.reload():
        return 1
    reader, counters, history = RequestReader(), CheckCounters(), History()
    recorder = Recorder(counters, logs, history, *tracing)
    checks = web.ServerRunner(
        check_server(Checker(live, reader, recorder, around.ask, pins), options.allow_from),
        shutdown_timeout=STOP_SECONDS,
    )
    metrics = registry(counters, live, reader, logs, around.evidence, around.directories, pins)
    for spans in tracing:
        metrics.register(spans)
    observed = Observed(live, around, pins, recorder, logs, metrics, history)
    operator = web.AppRunner(
        admin_application(observed, opened.admitted.rules, opened.admitted.token),
        access_log=None,
        shutdown_timeout=ADMIN_STOP_SECONDS,
    )
    try:
        with _upkeep(live):
            for runner, listener in ((operator, opened.admin), (checks, opened.check)):
                await runner.setup()
                await web.SockSite(runner, listener).start()
            _tell(options, opened)
            await stop.wait()
            logger.info("stopping: finishing the checks that run")
    finally:
        await checks.cleanup()
        await operator.cleanup()
        recorder.flush()
        # This waits for the logs' readers; nobody else is left to wait for.
        logs.close()
    return 0


@contextlib.contextmanager
def _upkeep(live: LivePolicy) -> Iterator[None]:
    """Meanwhile the policy's files are watched, and the operator is reminded of what ends."""
    tasks = [
        asyncio.create_task(watch(lambda: live.files, live.reload)),
        asyncio.create_task(remind(live)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def _tell(options: argparse.Namespace, opened: _Opened) -> None:
    """Say where questions are answered."""
    check, admin = _bound(opened.check, options.listen), _bound(opened.admin, options.admin)
    logger.info("answering checks on %s, operators on %s", check, admin)
    serve_admin.tell(opened.admitted, admin)


def _bound(listener: socket.socket, address: Address) -> Address:
    """Where a listener is. For port 0, the kernel chose one."""
    return Tcp(*listener.getsockname()[:2]) if isinstance(address, Tcp) else address


def _on_signals(live: LivePolicy) -> asyncio.Event:
    """Have SIGHUP read the policy again; the event is set by SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    reloads: set[asyncio.Task[bool]] = set()

    def reload() -> None:
        # One that runs may have begun before the change; the next one sees it. More add nothing.
        if len(reloads) > 1:
            return
        task = loop.create_task(live.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    return stop
