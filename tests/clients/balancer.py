"""A balancer of connections: the first goes to the first address, the next to the next, and so on in turn.

`balancer.py PORT PORT…`: where it listens, and where connections go; all on 127.0.0.1. It knows nothing of what passes.
"""

import asyncio
import itertools
import sys


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main(port, *targets):
    turn = itertools.cycle(targets)

    async def serve(reader, writer):
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", next(turn))
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, to_writer), pump(to_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
