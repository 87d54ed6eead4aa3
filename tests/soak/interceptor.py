"""Stands between the operator and an API server, counts the operator's writes, and makes trouble.

A request is sent on to `--upstream` (a `kubectl proxy`: HTTP, with credentials of its own) on a connection of its own. Writes
are POST, PUT, PATCH and DELETE of anything but Leases and Events; each gets a line in `--log`: number, method, path, status, and
what was done. `--kill N` sends SIGKILL to the process in `--pid` at each Nth write, when the API server has done it and before
the operator hears of it. `--lag S` lets each piece of a watch arrive up to S seconds late; `--break S` ends each watch after up
to S seconds and drops what is on its way.
"""

import argparse
import asyncio
import os
import random
import re
import signal

WRITES = {"POST", "PUT", "PATCH", "DELETE"}
NOT_COUNTED = re.compile(r"/(leases|events|selfsubjectaccessreviews)(/|\?|$)")


class Interceptor:
    def __init__(self, options):
        self.options = options
        self.host, self.port = options.upstream.rsplit(":", 1)
        self.writes = 0
        self.log = open(options.log, "a", buffering=1)

    async def serve(self, reader, writer):
        try:
            while await self.one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass  # either side is gone, which is what this is for
        finally:
            writer.close()

    async def one(self, reader, writer):
        """One request and its answer; false when the connection is to end."""
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, fields = head.partition(b"\r\n")
        method, path, _ = line.decode("latin-1").split(" ", 2)
        body = await read_body(reader, fields)
        upstream_reader, upstream = await asyncio.open_connection(self.host, int(self.port), limit=1 << 20)
        try:
            upstream.write(line + b"\r\nConnection: close\r\n" + without(fields, b"connection") + body)
            await upstream.drain()
            if method in WRITES and not NOT_COUNTED.search(path):
                await self.write(method, path, upstream_reader, writer)
            elif "watch=true" in path:
                await self.watch(upstream_reader, writer)
            else:
                await relay(upstream_reader, writer)
        finally:
            upstream.close()
        return False  # answers end with their connection

    async def write(self, method, path, upstream, writer):
        answer = await upstream.read(-1)  # by now it is done
        self.writes += 1
        kills = self.options.kill and self.writes % self.options.kill == 0
        status = answer.split(b" ", 2)[1].decode() if answer else "none"
        print(self.writes, method, path.split("?")[0], status, "killed" if kills else "", file=self.log)
        if kills:
            kill(self.options.pid)
            return
        writer.write(answer)
        await writer.drain()

    async def watch(self, upstream, writer):
        writer.write(await upstream.readuntil(b"\r\n\r\n"))
        if not self.options.lag and not self.options.break_:
            await relay(upstream, writer)
            return
        life = random.uniform(1, self.options.break_) if self.options.break_ else None
        try:
            async with asyncio.timeout(life):
                while piece := await upstream.read(1 << 16):
                    await asyncio.sleep(random.uniform(0, self.options.lag))
                    writer.write(piece)
                    await writer.drain()
        except TimeoutError:
            writer.transport.abort()


def kill(pid_file):
    try:
        os.kill(int(open(pid_file).read()), signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError, ValueError):
        pass  # it is dead already, and the next one is not there yet


async def read_body(reader, fields):
    """The body as it came; its framing goes on with the head."""
    length = re.search(rb"(?im)^content-length: *(\d+)", fields)
    return await reader.readexactly(int(length.group(1))) if length else b""


def without(fields, name):
    return b"\r\n".join(line for line in fields.split(b"\r\n") if not line.lower().startswith(name + b":"))


async def relay(upstream, writer):
    while piece := await upstream.read(1 << 16):
        writer.write(piece)
        await writer.drain()


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--pid", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--lag", type=float, default=0)
    parser.add_argument("--break", type=float, default=0, dest="break_")
    options = parser.parse_args()
    interceptor = Interceptor(options)
    server = await asyncio.start_server(interceptor.serve, "127.0.0.1", options.listen, limit=1 << 20)
    async with server:
        await server.serve_forever()


asyncio.run(main())
