"""An HTTP proxy in front of an object gateway that answers in its place, loses its answers, or cuts them short."""

import dataclasses
import http.client
import http.server
import threading

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str  # with its query
    headers: dict  # by lower-case name


@dataclasses.dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    headers: tuple = ()


LOSE = "lose"  # the request is done, its answer never comes
TRUNCATE = "truncate"  # the answer's body ends half way, with the length of the whole


class HttpFaultProxy:
    """Forwards to 127.0.0.1:port. `fault(request)` returns None, a Reply to give instead of forwarding, LOSE or TRUNCATE.
    A context manager; `requests` counts what came."""

    def __init__(self, port, fault):
        self.requests = []
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # pylint: disable=invalid-name
                proxy.handle(self, port, fault)

            do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

            def log_message(self, *arguments):  # pylint: disable=arguments-differ
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def handle(self, handler, port, fault):
        request = Request(handler.command, handler.path, {name.lower(): value for name, value in handler.headers.items()})
        self.requests.append(request)
        body = handler.rfile.read(int(request.headers.get("content-length", 0)))
        action = fault(request)
        reply = action if isinstance(action, Reply) else forward(port, request, body)
        if action == LOSE or reply is None:
            handler.close_connection = True
            return
        handler.send_response(reply.status)
        for name, value in reply.headers:
            handler.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in reply.headers):
            handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        if action == TRUNCATE:
            handler.wfile.write(reply.body[:len(reply.body) // 2])
            handler.close_connection = True
        elif request.method != "HEAD":
            handler.wfile.write(reply.body)


def forward(port, request, body):
    """The gateway's answer, or None when it gave none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name != "expect":
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        length = [("Content-Length", answer.headers["Content-Length"])] if request.method == "HEAD" else []
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
        return Reply(answer.status, content, tuple(headers + length))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
