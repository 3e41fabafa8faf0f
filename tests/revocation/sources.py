"""Sources of CRLs, and what came of them."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from extauthz.ca import CaCertificate
from extauthz.crl import Crl
from extauthz.demo.authority import Credential, authority, name
from extauthz.evidence.lists import Lists
from extauthz.revocation import CrlSource
from tests.revocation.made import ca

ACME = authority(name("Acme CA"))
GLOBEX = authority(name("Globex CA"))
KNOWN = frozenset([ca(ACME), ca(GLOBEX)])


async def ready(
    lists: Lists, source: CrlSource, known: frozenset[CaCertificate] = KNOWN
) -> CrlSource:
    await lists.prepare({source: known})
    return source


def put(file: Path, octets: bytes) -> None:
    """Another file in the place of one.

    What is written into the same one at once, and is as long, may be dated alike: kernels before
    6.13 count the time of files in steps of milliseconds.
    """
    new = file.with_suffix(".put")
    new.write_bytes(octets)
    new.rename(file)


def revoked(lists: Lists, source: CrlSource, issuer: Credential = ACME) -> set[int]:
    """Which of the serial numbers below 10 the source's lists have."""
    crls: list[Crl] = list(lists.crls(source, ca(issuer).identity))
    return {serial for serial in range(10) for each in crls if each.entry(serial) is not None}


async def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.02)


def problem(lists: Lists, source: CrlSource) -> str:
    return lists.sources[source].problem or ""
