"""What a policy cannot tell apart: by what of a host it decides, and which paths are alike.

The policy is asked, and no rule of it is written here a second time.
"""

from collections.abc import Iterable, Iterator

from extauthz.exemption import Exemption
from extauthz.login import Form, JsonBody, LoginSource
from extauthz.observe.record import MAX_TEXT
from extauthz.policy import Mode, Policy, Subscription
from extauthz.rehearsal import read_at
from extauthz.request_path import PathPattern, exact

__all__ = ["host_row", "path_rows"]


def host_row(host: str, subscription: Subscription | None) -> dict[str, object]:
    """A host, the subscription that it would be of, and by what that one decides."""
    exemptions: tuple[Exemption, ...] = () if subscription is None else subscription.exemptions
    patterns = [pattern for each in exemptions for pattern in each.paths]
    return {
        "host": host,
        "target": None if subscription is None else subscription.name,
        "decides": subscription is not None and subscription.mode is not Mode.OFF,
        "pins": subscription is not None and subscription.session is not None,
        "by_form": subscription is not None
        and any(isinstance(source, (Form, JsonBody)) for source in subscription.login),
        "by_path": bool(patterns),
        "by_method": any(each.methods for each in exemptions),
        "by_client": any(each.networks for each in exemptions),
        "paths": [pattern.path for pattern in patterns if not pattern.is_prefix],
        "prefixes": [pattern.path for pattern in patterns if pattern.is_prefix],
    }


def path_rows(policy: Policy, paths: Iterable[str]) -> Iterator[dict[str, object]]:
    """Each path with one that no subscription tells apart from it; the first one is itself.

    A path that was cut in the record is like no other.
    """
    subscriptions = [
        each
        for each in policy.subscriptions.values()
        if any(exemption.paths for exemption in each.exemptions)
        or any(isinstance(source, (Form, JsonBody)) for source in each.login)
    ]
    patterns = {pattern for each in subscriptions for e in each.exemptions for pattern in e.paths}
    first: dict[tuple[frozenset[PathPattern], frozenset[LoginSource]], str] = {}
    for path in paths:
        same = path
        if len(path) <= MAX_TEXT:
            normal = exact(path)
            matching = frozenset(each for each in patterns if each.matches(normal))
            read = frozenset(source for each in subscriptions for source in read_at(path, each))
            same = first.setdefault((matching, read), path)
        yield {"path": path, "same_as": same}
