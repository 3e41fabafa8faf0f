"""Which subscription of a policy a host belongs to."""

import pytest

from tests.policyfile.conftest import Workspace, policy

A_HOST = "write a host like app.example.com, *.example.com or [2001:db8::1]"

MISTAKES: dict[str, tuple[str, list[str]]] = {
    "host with a port": (
        policy(hosts='["acme.example.com:443"]'),
        [
            (":3:13: error: 'acme.example.com:443' is not a host; leave the port out: hosts are"
            " compared without it")
        ],
    ),
    "IPv6 host with a port": (
        policy(hosts='["[::1]:443"]'),
        [
            (":3:13: error: '[::1]:443' is not a host; leave the port out: hosts are compared"
            " without it")
        ],
    ),
    "IPv6 host without brackets": (
        policy(hosts='["2001:db8::1"]'),
        [f":3:13: error: '2001:db8::1' is not a host; {A_HOST}"],
    ),
    "URL for a host": (
        policy(hosts='["https://acme.example.com/"]'),
        [
            (":3:13: error: 'https://acme.example.com/' is not a host; write the host alone,"
            " without scheme and path")
        ],
    ),
    "every host": (
        policy(hosts='["*"]'),
        [
            ":3:13: error: '*' is not a host; there is no default subscription: name the hosts"
        ],
    ),
    "wildcard in the middle": (
        policy(hosts="[app.*.example.com]"),
        [f":3:13: error: 'app.*.example.com' is not a host; {A_HOST}"],
    ),
    "empty host": (
        policy(hosts='[""]'),
        [":3:13: error: the value is empty; write a value"],
    ),
    "host with a NUL": (
        policy(hosts='["acme\\0.example.com"]'),
        [f":3:13: error: 'acme\\x00.example.com' is not a host; {A_HOST}"],
    ),
    "host that steers a terminal": (
        policy(hosts='["\\e]0;x\\a\\r\\n\\u202e"]'),
        [f":3:13: error: '\\x1b]0;x\\x07\\r\\n\\u202e' is not a host; {A_HOST}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_named_with_its_place_and_what_would_be_right(
    workspace: Workspace, text: str, expected: list[str]
) -> None:
    assert workspace.problems(text) == expected


SPELLINGS = {
    "the same spelling": ("acme.example.com", "acme.example.com", ""),
    "letter case": ("ACME.Example.COM", "acme.example.com", " (acme.example.com)"),
    "trailing dot": ("acme.example.com.", "acme.example.com", " (acme.example.com)"),
    "IDN and its A-label": (
        "bücher.example", "xn--bcher-kva.example", " (xn--bcher-kva.example)"
    ),
    "IDN in capitals": ("BÜCHER.example.", "bücher.example", " (xn--bcher-kva.example)"),
    "full-width letters": ("\uff41cme.example.com", "acme.example.com", " (acme.example.com)"),
    "ideographic full stop": ("acme\u3002example.com", "acme.example.com", " (acme.example.com)"),
    "IPv6 written out": ("[0:0:0:0:0:0:0:1]", "[::1]", " ([::1])"),
    "wildcard in another case": ("*.Example.COM", "*.example.com", " (*.example.com)"),
}  # fmt: skip


@pytest.mark.parametrize(("second", "first", "same"), SPELLINGS.values(), ids=SPELLINGS)
def test_host_belongs_to_one_subscription_however_it_is_written(
    workspace: Workspace, first: str, second: str, same: str
) -> None:
    """Two subscriptions with one host are an error at the second, which points to the first."""
    text = policy(hosts=f'["{first}"]') + (
        "  widget:\n"
        f'    hosts: [widget.example.com, "{second}"]\n'
        "    signing_certificates: [widget-ca.pem]\n"
        "    accounts: {alice: alice@acme.example}\n"
    )
    assert workspace.problems(text) == [
        (
            f":7:33: error: the host '{second}'{same} is already in 'acme'; it stands in line 3: a"
            " host belongs to one subscription, once"
        )
    ]


def test_host_that_stands_twice_in_one_subscription_is_an_error(workspace: Workspace) -> None:
    """The second of two equal hosts is a slip of the pen: another host was meant."""
    (problem,) = workspace.problems(policy(hosts="[acme.example.com, Acme.example.com]"))
    assert problem.startswith(":3:31: error: the host 'Acme.example.com' (acme.example.com) is")


def test_wildcard_and_a_host_below_it_may_belong_to_two_subscriptions(workspace: Workspace) -> None:
    """An exact name is another host than the wildcard above it."""
    text = policy(hosts='["*.example.com"]') + (
        "  widget:\n"
        "    hosts: [widget.example.com]\n"
        "    signing_certificates: [widget-ca.pem]\n"
        "    verify_email: false\n"
    )
    loaded = workspace.load(text)
    assert loaded.policy is not None
    found = loaded.policy.subscription_for("widget.example.com")
    assert found is not None
    assert found.name == "widget"
