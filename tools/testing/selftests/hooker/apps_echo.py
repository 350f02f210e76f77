# SPDX-License-Identifier: GPL-2.0
"""Many connections at once, each half-closed when all is sent; all comes back.

apps_echo.py server ADDRESS PORT
apps_echo.py client ADDRESS PORT CONNECTIONS
"""
import asyncio
import hashlib
import os
import sys

async def serve(reader, writer):
    # Half-closed from the other side: what is left still goes back
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
    writer.close()

async def one(host, port, nr):
    reader, writer = await asyncio.open_connection(host, port)
    sent = os.urandom(1000 + nr * 1777)

    async def send():
        for pos in range(0, len(sent), 4096):
            writer.write(sent[pos:pos + 4096])
            await writer.drain()
        writer.write_eof()
    task = asyncio.create_task(send())
    got = await reader.read(-1)
    await task
    writer.close()
    return hashlib.sha256(sent).digest() == hashlib.sha256(got).digest()

async def server(host, port):
    listener = await asyncio.start_server(serve, host, port)
    await listener.serve_forever()

async def client(host, port, nr):
    same = await asyncio.gather(*(one(host, port, i) for i in range(nr)))
    print(f"{sum(same)} of {nr} came back unchanged")
    return 0 if all(same) else 1

if sys.argv[1] == "server":
    asyncio.run(server(sys.argv[2], int(sys.argv[3])))
else:
    sys.exit(asyncio.run(client(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
