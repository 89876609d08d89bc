"""A server on loopback that answers every request with the same bytes, right or wrong, as S3 might."""

import contextlib
import json
import socket
import threading

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIAMATRIX", "AWS_SECRET_ACCESS_KEY": "CANARY-secret-of-the-matrix"}


def answer(status, body=b"", headers=""):
    return (f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n{headers}"
            f"Connection: close\r\n\r\n").encode() + body


def error(status, code, more=""):
    return answer(status, f"<Error><Code>{code}</Code><Message>words</Message>{more}</Error>".encode())


class FakeS3:
    """Answers with the pieces of `script`, an iterable of bytes made anew for each request, until the client goes away."""

    def __init__(self, script):
        self.script = script
        self.requests = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *unused):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(30)
                self.requests.append(connection.recv(1 << 16).split(b"\r\n", 1)[0].decode())
                for piece in self.script():
                    connection.sendall(piece)


def profile(lab, endpoint):
    """A file of storage profiles with one place, the bucket `models`."""
    path = lab.folder() / "profiles.json"
    path.write_text(
        json.dumps({
            "profiles": {
                "fake": {
                    "endpoint": endpoint,
                    "region": "us-east-1",
                    "allow_plain_http": True
                }
            },
            "places": {
                "models": "fake"
            }
        }))
    return path
