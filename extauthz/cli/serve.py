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
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from extauthz import listeners
from extauthz.decision import Question
from extauthz.directory.gathered import GatheredDirectories
from extauthz.evidence.gathered import GatheredEvidence
from extauthz.evidence.kept import state_directory
from extauthz.listeners import Address, Tcp
from extauthz.lookup import Lookup
from extauthz.observe.decision_log import DecisionLog
from extauthz.observe.metrics import CheckCounters, registry
from extauthz.observe.recorder import Recorder
from extauthz.pins.gathered import GatheredPins
from extauthz.policyfile.live import LivePolicy
from extauthz.policyfile.reminder import remind
from extauthz.revocation import Inquiry
from extauthz.server import Checker, admin_application, check_server
from extauthz.watch import watch
from extauthz.wire.request import RequestReader

__all__ = ["add_to", "run"]

STOP_SECONDS = 10.0
"""How long checks that run may take to finish after SIGTERM. Envoy waits for one second."""

logger = logging.getLogger(__name__)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "serve",
        help="answer Envoy's checks",
        description="Answer Envoy's ext_authz checks. The decision log goes to standard output,"
        " messages for the operator to standard error. SIGHUP reads the policy again; SIGTERM"
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
        metavar="HOST:PORT",
        help="where /healthz, /readyz and /metrics are (default: 127.0.0.1:9001)",
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
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        with listeners.bind(options.listen) as check, listeners.bind(options.admin) as admin:
            return _run_loop(_serve(options, check, admin))
    except listeners.AddressInUseError as error:
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
class _Surroundings:
    """What checks depend on besides the policy."""

    evidence: GatheredEvidence
    directories: GatheredDirectories
    pins: GatheredPins

    async def ask(self, questions: Sequence[Question]) -> None:
        """Ask responders and directories, all at once, and wait as long as a check may."""
        lookups = [each for each in questions if isinstance(each, Lookup)]
        inquiries = [each for each in questions if isinstance(each, Inquiry)]
        await asyncio.gather(self.evidence.ask(inquiries), self.directories.ask(lookups))


async def _serve(options: argparse.Namespace, check: socket.socket, admin: socket.socket) -> int:
    async with (
        GatheredEvidence(options.state) as evidence,
        GatheredDirectories() as directories,
        GatheredPins() as pins,
    ):
        return await _answer(options, check, admin, _Surroundings(evidence, directories, pins))


async def _answer(
    options: argparse.Namespace,
    check: socket.socket,
    admin: socket.socket,
    around: _Surroundings,
) -> int:
    live = LivePolicy(options.policy, around.evidence, around.directories, around.pins)
    stop = _on_signals(live)
    if not await live.reload():
        return 1
    log = DecisionLog(sys.stdout.fileno())
    reader, counters = RequestReader(), CheckCounters()
    recorder = Recorder(counters, log)
    checks = web.ServerRunner(
        check_server(Checker(live, reader, recorder, around.ask, around.pins), options.allow_from),
        shutdown_timeout=STOP_SECONDS,
    )
    metrics = registry(
        counters, live, reader, log, around.evidence, around.directories, around.pins
    )
    operator = web.AppRunner(admin_application(live, recorder, metrics), access_log=None)
    tasks = [
        asyncio.create_task(watch(lambda: live.files, live.reload)),
        asyncio.create_task(remind(live)),
    ]
    try:
        for runner, listener in ((operator, admin), (checks, check)):
            await runner.setup()
            await web.SockSite(runner, listener).start()
        where = _bound(check, options.listen), _bound(admin, options.admin)
        logger.info("answering checks on %s, operators on %s", *where)
        await stop.wait()
        logger.info("stopping: finishing the checks that run")
    finally:
        for task in tasks:
            task.cancel()
        await checks.cleanup()
        await operator.cleanup()
        recorder.flush()
        # This waits for the log's reader; nobody else is left to wait for.
        log.close()
    return 0


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
