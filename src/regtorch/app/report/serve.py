"""`regtorch report DIR --serve`: a page that follows a sweep, for this machine's user alone, and read-only."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from regtorch.app.ground.signals import asked_to_end
from regtorch.app.report.followed import Followed
from regtorch.app.report.page import PAGE

__all__ = ["LOOPBACK", "serve", "server"]

LOOPBACK = "127.0.0.1"
_PICTURES = Path(PAGE).stem
_TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".pdf": "application/pdf"}
_PATIENCE = 10.0  # seconds for a request to arrive


def serve(root: Path, port: int) -> int:
    """Serve the page about a folder until Ctrl-C, and print its address.

    Raises:
        ValueError: it is not a folder, or the port cannot be had.
        KeyboardInterrupt: the user has ended it.
    """
    if not root.is_dir():
        raise ValueError(
            f"{root}: expected a folder for runs, received {'a file' if root.exists() else 'a missing path'}"
        )
    with asked_to_end(), server(root, port) as (serving, address):
        print(f"following {root} at {address}\nCtrl-C ends it", flush=True)
        serving.serve_forever()
    return 0


@contextmanager
def server(root: Path, port: int) -> Iterator[tuple[ThreadingHTTPServer, str]]:
    """A server of the page about a folder, which does not run yet, and the page's address; port 0 is any free one.

    Raises:
        ValueError: the port cannot be had.
    """
    token = secrets.token_urlsafe(24)
    with TemporaryDirectory(prefix="regtorch-report-") as place:
        try:
            serving = _Server((LOOPBACK, port), _handler(Followed(root, Path(place)), token))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or "ports are 0 to 65535"
            raise ValueError(f"--port: expected a free port, or 0 for any, received {port} ({why})") from None
        serving.daemon_threads = True
        with serving:
            yield serving, f"http://{LOOPBACK}:{serving.server_port}/{token}/"


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that left before it had its answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(followed: Followed, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE
        server_version, sys_version = "regtorch", ""

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the terminal is the user's."""

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
            """A refusal in a line; every method but GET and HEAD comes here."""
            refused = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
            allow = {"Allow": "GET, HEAD"} if refused == HTTPStatus.METHOD_NOT_ALLOWED else {}
            self._send(refused, f"{message or refused.phrase}\n".encode(), "text/plain; charset=utf-8", allow)

        def _answer(self, *, body: bool) -> None:
            port = self.connection.getsockname()[1]
            # Another name that leads here is a foreign page's, whose owner has pointed it to this machine.
            if self.headers.get("Host") not in (f"{LOOPBACK}:{port}", f"localhost:{port}"):
                return self.send_error(HTTPStatus.FORBIDDEN, "open the address that was printed")
            _, given, *rest = f"{urlsplit(self.path).path}//".split("/")
            if not secrets.compare_digest(given.encode(errors="replace"), token.encode()):
                return self.send_error(HTTPStatus.FORBIDDEN, "open the address that was printed, with its token")
            try:
                match [unquote(part) for part in rest if part]:
                    case []:
                        self._page(body=body)
                    case [folder, name] if folder == _PICTURES and (picture := followed.picture(name)) is not None:
                        self._send(HTTPStatus.OK, picture, _TYPES[Path(name).suffix], {})
                    case _:
                        self.send_error(HTTPStatus.NOT_FOUND, "only the page and its pictures are here")
            except (OSError, ValueError) as error:
                self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return None

        def _page(self, *, body: bool) -> None:
            if body:
                stamp, page = followed.page()
            else:
                stamp, page = followed.stamp(), b""
            tag = {"ETag": f'"{stamp}"'}
            if self.headers.get("If-None-Match") == tag["ETag"]:
                self._send(HTTPStatus.NOT_MODIFIED, b"", "", tag)
            else:
                self._send(HTTPStatus.OK, page, "text/html; charset=utf-8", tag)

        def _send(self, status: HTTPStatus, body: bytes, kind: str, more: dict[str, str]) -> None:
            about = {
                "Cache-Control": "no-store",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
                **({"Content-Type": kind, "Content-Length": str(len(body))} if kind else {}),
                **more,
            }
            self.send_response(status)
            for name, value in about.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return Handler
