"""The `hosts` of all subscriptions of a policy: each belongs to one of them, once."""

from extauthz import hosts
from extauthz.files import Place
from extauthz.policyfile.document import Node, Scalar, texts
from extauthz.policyfile.problems import Report, quoted

__all__ = ["Hosts"]


class Hosts:
    """Hands them out, and reports what is no host or is another's."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._taken: dict[str, tuple[str, Place]] = {}
        """Whose each is, and where that stands."""

    def of(self, subscription: str, listed: Node | None) -> tuple[str, ...]:
        """The hosts of a subscription, in their normal form."""
        found = (self._host(subscription, item) for item in texts(listed))
        return tuple(host for host in found if host is not None)

    def _host(self, subscription: str, item: Scalar) -> str | None:
        written = str(item.value)
        pattern = _host_pattern(written)
        if pattern is None:
            remedy = "write a host like app.example.com, *.example.com or [2001:db8::1]"
            if written == "*":
                remedy = "there is no default subscription: name the hosts"
            elif "://" in written or "/" in written:
                remedy = "write the host alone, without scheme and path"
            elif ":" in written and _host_pattern(written.rpartition(":")[0]):
                remedy = "leave the port out: hosts are compared without it"
            self._report(item.place, f"{quoted(written)} is not a host", remedy)
            return None
        if pattern in self._taken:
            other, place = self._taken[pattern]
            same = "" if written == pattern else f" ({pattern})"
            message = f"the host {quoted(written)}{same} is already in {quoted(other)}"
            remedy = f"it stands in line {place.line}: a host belongs to one subscription, once"
            self._report(item.place, message, remedy)
            return None
        self._taken[pattern] = (subscription, item.place)
        return pattern


def _host_pattern(written: str) -> str | None:
    """A host or wildcard of the policy in its normal form; a port has no place in it."""
    wildcard = hosts.WILDCARD if written.startswith(hosts.WILDCARD) else ""
    bare = written.removeprefix(wildcard)
    if ":" in bare and not (bare.startswith("[") and bare.endswith("]") and not wildcard):
        return None
    normal = hosts.normalise(bare)
    return None if normal is None else wildcard + normal
