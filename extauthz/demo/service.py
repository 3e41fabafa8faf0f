"""The demonstration's service: some old program that knows nothing of certificates.

`python -m extauthz.demo.service HOST PORT`. It answers every request with what it received, so
that one sees what reaches it, and what does not.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["main"]


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        received = {
            "service": "hello, I am the service, and this is all that I received",
            "method": self.command,
            "path": self.path,
            # Passwords are for the service to know, and not to show.
            "headers": {k: "…" if k.lower() == "authorization" else v for k, v in
                        self.headers.items()},
            "body": self.rfile.read(length).decode("utf-8", "replace"),
        }  # fmt: skip
        body = (json.dumps(received, indent=2, ensure_ascii=False) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet: the demonstration shows the decisions."""


def main() -> int:
    """Serve until stopped."""
    host, port = sys.argv[1:]
    ThreadingHTTPServer((host, int(port)), _Echo).serve_forever()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
