"""A TCP proxy before a server on loopback that can be shut: every connection is cut, and new ones are refused.

It passes bytes on and reads none of them: TLS is spoken through it. Each new connection asks anew to which port it
goes. The proxy keeps its own port while it is shut. cluster.py puts one before a real API server, which has no
outages on command.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

HOST = "127.0.0.1"
BLOCK = 65536
CALL_SECONDS = 10.0
CUT_SECONDS = 1.0


class TcpProxy:
    """One proxy, shut at first; safe for use by many threads."""

    def __init__(self, target_port: Callable[[], int]) -> None:
        self._target_port = target_port
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((HOST, 0))  # bound and never listening: nobody else gets the port while it is shut
        self.port: int = self._reserved.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._thread.start()

    def open(self) -> None:
        """Let connections through. Does nothing if the proxy is open."""
        self._call(self._open())

    def close(self) -> None:
        """Cut every connection and refuse new ones. Does nothing if the proxy is shut."""
        self._call(self._close())

    def end(self) -> None:
        """Shut for good, and free the port."""
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._reserved.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._pass, HOST, self.port, reuse_address=True, backlog=128)

    async def _close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for writer in list(self._writers):
            writer.transport.abort()  # which ends whoever reads or writes there
        this_task = asyncio.current_task()
        if passing := [task for task in asyncio.all_tasks() if task is not this_task]:
            await asyncio.wait(passing, timeout=CUT_SECONDS)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self._writers.add(writer)
        try:
            target_reader, target_writer = await asyncio.open_connection(HOST, self._target_port())
        except OSError:  # the server behind is not there: the client's connection just ends
            self._forget(writer)
            return
        self._writers.add(target_writer)
        pumps = (
            asyncio.ensure_future(_pump(reader, target_writer)),
            asyncio.ensure_future(_pump(target_reader, writer)),
        )
        if self._server is None:  # shut while we reached out
            writer.transport.abort()
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        self._forget(writer)
        self._forget(target_writer)
        for pump in pumps:
            pump.cancel()

    def _forget(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await source.read(BLOCK):
            target.write(piece)
            await target.drain()
