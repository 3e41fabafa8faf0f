"""What a server that runs has to show."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from extauthz.admin.history import History
from extauthz.observe.decision_log import DecisionLogs
from extauthz.observe.recorder import Recorder
from extauthz.pins.gathered import GatheredPins
from extauthz.policyfile.live import LivePolicy
from extauthz.surroundings import Surroundings

__all__ = ["Observed"]


@dataclass(frozen=True, slots=True)
class Observed:
    """The parts of a server that the admin listener looks at."""

    live: LivePolicy
    around: Surroundings
    pins: GatheredPins
    recorder: Recorder
    logs: DecisionLogs
    metrics: CollectorRegistry
    history: History
