"""extauthz: accept only users with a client certificate, for a service that does not change.

Where to start reading: `decision.decide` is the decision, `snapshot.Snapshot.check` the path
that leads to it, `server` the edge around both.
"""

__version__ = "0.1.0"
