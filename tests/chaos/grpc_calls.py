"""Sees the gRPC calls in the bytes of an HTTP/2 connection (RFC 9113), without changing any."""

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_BYTES = 9
DATA, HEADERS, CONTINUATION = 0, 1, 9
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20


class CallWatcher:
    """Watches one connection. feed() takes bytes of either direction, in order."""

    def __init__(self):
        self._buffers = {True: bytearray(), False: bytearray()}
        self._decoder = hpack.Decoder()  # of the client: headers depend on all that came before
        self._preface_left = len(PREFACE)
        self._block = bytearray()
        self._paths = {}  # of calls that were not answered yet, by stream

    def feed(self, data, from_client):
        """The paths of the calls that begin in these bytes or, from the server, whose answers do."""
        if from_client and self._preface_left:
            skipped = min(self._preface_left, len(data))
            self._preface_left -= skipped
            data = data[skipped:]
        buffer = self._buffers[from_client]
        buffer += data
        paths = []
        while len(buffer) >= FRAME_HEADER_BYTES:
            length = int.from_bytes(buffer[:3], "big")
            if len(buffer) < FRAME_HEADER_BYTES + length:
                break
            kind, flags, stream = buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF
            payload = bytes(buffer[FRAME_HEADER_BYTES:FRAME_HEADER_BYTES + length])
            del buffer[:FRAME_HEADER_BYTES + length]
            path = self._request(kind, flags, stream, payload) if from_client else self._reply(kind, stream)
            if path:
                paths.append(path)
        return paths

    def _request(self, kind, flags, stream, payload):
        if kind == HEADERS:
            end = len(payload) - (payload[0] if flags & PADDED else 0)
            begin = (1 if flags & PADDED else 0) + (5 if flags & PRIORITY else 0)
            self._block = bytearray(payload[begin:end])
        elif kind == CONTINUATION:
            self._block += payload
        if kind not in (HEADERS, CONTINUATION) or not flags & END_HEADERS:
            return None
        path = dict(self._decoder.decode(bytes(self._block))).get(":path")
        if path:
            self._paths[stream] = path.rsplit("/", 1)[-1]
        return self._paths.get(stream) if path else None

    def _reply(self, kind, stream):
        return self._paths.pop(stream, None) if kind in (HEADERS, DATA) else None
