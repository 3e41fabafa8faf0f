"""A real Chromium, Debian's, without a screen: with a new profile, and silent but for its pages.

Playwright's loop runs in the thread of the tests for as long as a browser is open, and asyncio can
run none beside it: keep a browser to one module (a fixture of scope `module` around
`running_chromium`), and let no test of that module be async.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Error,
    Locator,
    Page,
    Request,
    sync_playwright,
)

__all__ = [
    "ARGUMENTS",
    "DESKTOP",
    "PHONE",
    "Visit",
    "follow",
    "require_chromium",
    "running_chromium",
    "visit",
]

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",  # the machine's proxy knows nothing of a test's server
)
DESKTOP = (1200, 900)
PHONE = (390, 844)
PATIENCE = 60_000.0
"""How long a page, or Chromium's start, may take on a busy machine, in milliseconds."""


def require_chromium() -> None:
    """Skip the test that calls this where there is no Chromium; fail where CI is set."""
    if not CHROMIUM.exists():
        message = "install the Debian package: chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


@contextmanager
def running_chromium(
    *, home: Path | None = None, arguments: Sequence[str] = ()
) -> Iterator[Browser]:
    """A browser of its own.

    `home` is where Chromium looks for certificates (`.pki/nssdb`); without one, an empty directory.
    """
    require_chromium()
    with (
        tempfile.TemporaryDirectory(prefix="extauthz-chromium-") as empty,
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(
            executable_path=CHROMIUM,
            args=[*ARGUMENTS, *arguments],
            env={**os.environ, "HOME": str(home or empty)},
            timeout=PATIENCE,
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True, slots=True)
class Visit:
    """A page, and what it did meanwhile."""

    page: Page
    requests: list[str] = field(default_factory=list)
    """What it asked for, by URL: of the page itself, too."""
    complaints: list[str] = field(default_factory=list)
    """Warnings and errors of the console (a policy that was broken, a script that failed), and
    dialogs that opened."""


def follow(link: Locator) -> None:
    """Click on what leads to another page, and wait for that.

    What is asked of a page right after a click may still be answered by the one before.
    """
    with link.page.expect_navigation():
        link.click()


@contextmanager
def visit(
    browser: Browser,
    *,
    size: tuple[int, int] = DESKTOP,
    dark: bool = False,
    token: str | None = None,
) -> Iterator[Visit]:
    """An empty page with no cookies, to be led somewhere; `token` goes along as Bearer."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        extra_http_headers={"Authorization": f"Bearer {token}"} if token else {},
    )
    context.set_default_timeout(PATIENCE)
    try:
        page = context.new_page()
        seen = Visit(page)

        def asked(request: Request) -> None:
            seen.requests.append(request.url)

        def said(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                seen.complaints.append(message.text)

        def failed(error: Error) -> None:
            seen.complaints.append(str(error))

        def opened(dialog: Dialog) -> None:
            seen.complaints.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("request", asked)
        page.on("console", said)
        page.on("pageerror", failed)
        page.on("dialog", opened)
        yield seen
    finally:
        context.close()
