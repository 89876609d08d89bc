"""A TCP proxy on loopback that does to connections what networks do: delay, throttle, hold one direction, cut, flip bytes;
and, seeing the gRPC calls in the bytes, loses exactly the answer that an experiment wants lost."""

import asyncio
import contextlib
import dataclasses
import random
import threading
import time

from grpc_calls import CallWatcher

TO_SERVER = "to_server"
TO_CLIENT = "to_client"
CHUNK_BYTES = 16 << 10
TICK_SECONDS = 0.01  # how late a held direction notices that it may go on


@dataclasses.dataclass(frozen=True)
class Faults:
    """What is wrong at present. Without arguments: nothing."""

    held: frozenset = frozenset()  # directions in which bytes wait, as behind a partition
    refuse: bool = False  # new connections are closed at once
    delay_seconds: float = 0
    jitter_seconds: float = 0
    bytes_per_second: float = 0  # in each direction of each connection; 0: unlimited
    cut_after_bytes: tuple = ()  # (least, most): a connection is reset when so many bytes have passed to the server
    # (least, most): one byte to the server is changed after so many, once per connection, in the second half of a read of
    # CHUNK_BYTES: in a layer, not in the message before it.
    flip_after_bytes: tuple = ()


class FaultProxy:
    """Forwards connections to `target`, "host:port". A context manager; all methods may be called from any thread.

    `intercept(path, stage)` is called for every gRPC call seen, in stage "request" before its first bytes go to the
    server and in stage "reply" before the first bytes of its answer go to the client. It returns None to let them pass
    or "cut" to reset the connection instead. While it runs, that connection waits."""

    def __init__(self, target, seed=0, intercept=None):
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._random = random.Random(seed)
        self._intercept = intercept
        self._faults = Faults()
        self._writers = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.connections = 0
        self.cuts = 0
        self.flips = 0
        self.closed_by_server = 0
        self.bytes = {TO_SERVER: 0, TO_CLIENT: 0}  # passed on
        self.client_bytes = 0  # that clients sent, also those that a cut kept from the server

    def __enter__(self):
        self._thread.start()
        server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._server = server
        self.address = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *unused):
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(self, faults):
        self._faults = faults

    def hold(self, *directions):
        """A partition: bytes in these directions wait, in both if none is named."""
        self.set(Faults(held=frozenset(directions or (TO_SERVER, TO_CLIENT))))

    def heal(self):
        self.set(Faults())

    def cut(self):
        """Resets every connection."""
        self._call(self._cut_all())

    def retarget(self, target):
        """New connections go to another server."""
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60)

    async def _cut_all(self):
        for writer in list(self._writers):
            writer.transport.abort()

    async def _close(self):
        self._server.close()
        await self._cut_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, client_reader, client_writer):
        if self._faults.refuse:
            client_writer.transport.abort()
            return
        self.connections += 1
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            client_writer.transport.abort()
            return
        link = _Link(self, client_writer, server_writer)
        self._writers |= {client_writer, server_writer}
        try:
            await asyncio.gather(link.forward(client_reader, server_writer, TO_SERVER),
                                 link.forward(server_reader, client_writer, TO_CLIENT))
        finally:
            self._writers -= {client_writer, server_writer}


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy, client_writer, server_writer):
        self.proxy = proxy
        self.writers = (client_writer, server_writer)
        self.watcher = CallWatcher() if proxy._intercept else None
        self.passed = 0
        faults = proxy._faults
        self.cut_at = proxy._random.randint(*faults.cut_after_bytes) if faults.cut_after_bytes else None
        self.flip_at = proxy._random.randint(*faults.flip_after_bytes) if faults.flip_after_bytes else None

    async def forward(self, reader, writer, direction):
        """Two tasks per direction, so that a delay does not lower the throughput."""
        queue = asyncio.Queue(maxsize=256)
        await asyncio.gather(self._read(reader, queue, direction), self._write(queue, writer, direction))

    async def _read(self, reader, queue, direction):
        while True:
            try:
                data = await reader.read(CHUNK_BYTES)
            except (ConnectionError, asyncio.IncompleteReadError):
                data = None  # reset: pass that on
            self.proxy.closed_by_server += direction == TO_CLIENT and not data
            faults = self.proxy._faults
            delay = faults.delay_seconds + faults.jitter_seconds * self.proxy._random.random()
            await queue.put((time.monotonic() + delay, data))
            if not data:
                return

    async def _write(self, queue, writer, direction):
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0, due - time.monotonic()))
            while direction in self.proxy._faults.held and not writer.transport.is_closing():
                await asyncio.sleep(TICK_SECONDS)
            if data is None or not await self._admit(data, direction):
                return self.abort()
            if not data:
                with contextlib.suppress(OSError):  # reset meanwhile
                    writer.write_eof()
                return None
            rate = self.proxy._faults.bytes_per_second
            if rate:
                await asyncio.sleep(len(data) / rate)
            data = self._flip(data, direction)
            try:
                writer.write(data)
                await writer.drain()
            except ConnectionError:
                return self.abort()
            self.proxy.bytes[direction] += len(data)

    async def _admit(self, data, direction):
        """Whether the bytes may pass; False: the connection is to be reset."""
        if direction == TO_SERVER:
            self.passed += len(data)
            self.proxy.client_bytes += len(data)
            if self.cut_at is not None and self.passed >= self.cut_at:
                self.proxy.cuts += 1
                return False
        if self.watcher is None:
            return True
        stage = "request" if direction == TO_SERVER else "reply"
        for path in self.watcher.feed(data, from_client=direction == TO_SERVER):
            action = await asyncio.get_running_loop().run_in_executor(None, self.proxy._intercept, path, stage)
            if action == "cut":
                self.proxy.cuts += 1
                return False
        return True

    def _flip(self, data, direction):
        if direction != TO_SERVER or self.flip_at is None or self.passed < self.flip_at or len(data) < CHUNK_BYTES:
            return data
        self.flip_at = None
        self.proxy.flips += 1
        flipped = bytearray(data)
        flipped[self.proxy._random.randrange(len(flipped) // 2, len(flipped))] ^= 1 << self.proxy._random.randrange(8)
        return bytes(flipped)

    def abort(self):
        for writer in self.writers:
            writer.transport.abort()
