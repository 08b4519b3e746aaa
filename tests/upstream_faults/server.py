"""An application that notes the body of each POST before it answers.

python3 server.py PORT LEDGER    (0: any port; it says which)
"""
import asyncio
import os
import sys


async def converse(reader, writer):
    try:
        while True:
            line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            lengths = [field.split(":")[1] for field in fields if field.lower().startswith("content-length:")]
            body = await reader.readexactly(int(lengths[0]) if lengths else 0)
            if line.startswith("POST "):
                os.write(ledger, body + b"\n")
            if line.startswith("GET /slow "):
                await asyncio.sleep(0.2)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    async with await asyncio.start_server(converse, "127.0.0.1", int(sys.argv[1]), backlog=1024) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


ledger = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
asyncio.run(main())
