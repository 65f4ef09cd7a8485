"""An HTTP echo service as a Python program writes it: the standard library's server. usage: echo.py PORT"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    """Answers with the path that was asked for."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer."""
        body = self.path.encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *arguments: object) -> None:
        """No log."""


ThreadingHTTPServer(("", int(sys.argv[1])), Echo).serve_forever()
