"""An echo server with PyPI's websockets; says on which port it listens."""
import asyncio
import contextlib

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(connection):
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            if message == "close":
                await connection.close(4002, "as you wish")
            elif message == "fragments":
                await connection.send(["one ", "two ", "three"])
            else:
                await connection.send(message)


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=32 << 20) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
