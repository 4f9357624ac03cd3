"""One address in front of several servers, as a Kubernetes Service is: connections go to those that are ready."""

import asyncio
import http.client
import threading
from contextlib import suppress

PROBE_SECONDS = 0.05


class Balancer:
    """Listens on `address` and hands each connection to the next of `servers` (addresses) that says it is ready.

    A connection that a server refuses goes to another, for nothing was sent. `open` counts those of each server.
    """

    def __init__(self, servers):
        self.servers, self.ready = list(servers), set(servers)
        self.open = dict.fromkeys(servers, 0)
        self.turn = 0
        self.loop = asyncio.new_event_loop()
        self.over = threading.Event()
        begun = threading.Event()
        self.threads = [threading.Thread(target=self._listen, args=(begun,)), threading.Thread(target=self._probe)]
        for thread in self.threads:
            thread.start()
        begun.wait(10)

    def close(self):
        self.over.set()
        self.loop.call_soon_threadsafe(self.loop.stop)
        for thread in self.threads:
            thread.join()

    def _listen(self, begun):
        asyncio.set_event_loop(self.loop)
        listening = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.address = "{}:{}".format(*listening.sockets[0].getsockname())
        begun.set()
        self.loop.run_forever()
        listening.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def _probe(self):
        """The readiness probe: what does not answer it gets no new connections."""
        while not self.over.wait(PROBE_SECONDS):
            for server in self.servers:
                (self.ready.add if is_ready(server) else self.ready.discard)(server)

    async def _serve(self, reader, writer):
        chosen = sorted(self.ready)
        self.turn += 1
        for server in chosen[self.turn % max(1, len(chosen)) :] + chosen:
            host, port = server.split(":")
            with suppress(ConnectionRefusedError):
                there = await asyncio.open_connection(host, int(port))
                break
        else:
            writer.close()
            return
        self.open[server] += 1
        await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer), return_exceptions=True)
        self.open[server] -= 1


async def pipe(reader, writer):
    try:
        while block := await reader.read(1 << 16):
            writer.write(block)
            await writer.drain()
    finally:
        writer.close()


def is_ready(server):
    connection = http.client.HTTPConnection(server, timeout=2)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
