"""A host of one process on an Ethernet interface: sends the IP packets that its input has, in hex, one a line, and
prints the first IP packet that comes for it after each, or nothing but an end of line after ten seconds.

packet_host.py INTERFACE OWN_MAC PEER_MAC
"""
import select
import socket
import sys

interface, own, peer = sys.argv[1], *(bytes.fromhex(mac.replace(":", "")) for mac in sys.argv[2:4])
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
card.bind((interface, 0))
print("ready", flush=True)
for line in sys.stdin:
    packet = bytes.fromhex(line)
    # What came too late is not the answer to this one.
    while select.select([card], [], [], 0)[0]:
        card.recv(65535)
    card.send(peer + own + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet)
    answer = b""
    while not answer and select.select([card], [], [], 10)[0]:
        frame = card.recv(65535)
        if frame[:6] == own and frame[12:14] in (b"\x86\xdd", b"\x08\x00"):
            answer = frame[14:]
    print(answer.hex(), flush=True)
