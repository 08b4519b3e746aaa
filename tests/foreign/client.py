"""Speaks with an echo server by PyPI's websockets: client.py PORT CERTIFICATE COOKIES."""
import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

port, certificate, cookies = sys.argv[1:]


def connection():
    return connect(
        f"wss://app.test:{port}/chat",
        host="127.0.0.1",
        port=int(port),
        ssl=ssl.create_default_context(cafile=certificate),
        additional_headers={"Cookie": cookies},
        max_size=32 << 20,
        proxy=None,
    )


async def main():
    async with connection() as echo:
        for message in ["text: äöü ☃", "", b"\x00\xff binary", bytes(16 << 20), "x" * 70000]:
            await echo.send(message)
            assert await echo.recv() == message, "the message came back changed"
        await echo.send(["in ", "three ", "fragments"])
        assert await echo.recv() == "in three fragments"
        await echo.send("fragments")
        # Some end a message with a fragment that is empty.
        assert [piece async for piece in echo.recv_streaming() if piece] == ["one ", "two ", "three"]
        await (await echo.ping())
    assert (echo.close_code, echo.close_reason) == (1000, "")
    async with connection() as echo:
        await echo.send("close")
        try:
            await echo.recv()
            raise AssertionError("it was to close")
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4002, "as you wish"), closed
    async with connection() as echo:
        await echo.close(4001, "enough")
        assert (echo.close_code, echo.close_reason) == (4001, "enough")
    print("all is well")


asyncio.run(main())
