"""A name server for one test: each name has the address 127.0.0.1, and no other record.

names.py ADDRESS, on port 53: a resolver asks no other port.
"""
import socket
import struct
import sys

A = 1
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\0", 12) + 5
    kind = struct.unpack(">H", query[end - 4 : end - 2])[0]
    record = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 4) + socket.inet_aton("127.0.0.1") if kind == A else b""
    head = query[:2] + struct.pack(">HHHHH", 0x8580, 1, 1 if record else 0, 0, 0)
    server.sendto(head + query[12:end] + record, client)
