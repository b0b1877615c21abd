#!/usr/bin/python3
"""Makes the vectors of this folder with scapy (python3-scapy): packets.txt, too_big.txt, fragments.txt."""

import pathlib

from scapy.all import (
    ICMP, IP, TCP, UDP, ICMPv6EchoRequest, ICMPv6PacketTooBig, IPOption_Router_Alert, IPv6, IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, Raw, fragment, fragment6)

HERE = pathlib.Path(__file__).parent
A4, B4, A6, B6 = "192.0.2.1", "198.51.100.2", "2001:db8::1", "2001:db8::2"


def write(name, about, records):
    with (HERE / name).open("w") as out:
        out.write(f"# source: scapy 2.5.0, by make.py\n# {about}\n")
        for record in records:
            out.write("\n")
            for key, value in record.items():
                out.write(f"{key} = {bytes(value).hex() if not isinstance(value, (str, int)) else value}\n")


def packets():
    syn = dict(sport=1000, dport=443, flags="S", seq=7)
    hop = IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 12)])
    destination = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
    routing = IPv6ExtHdrRouting(addresses=[B6])
    cases = {
        "udp4": (IP(src=A4, dst=B4, tos=0xB9) / UDP(sport=53, dport=4000) / b"data", 17, 20, 20, "53 4000"),
        "options4": (IP(src=A4, dst=B4, options=[IPOption_Router_Alert()]) / TCP(sport=1, dport=2), 6, 24, 24, "1 2"),
        "icmp4": (IP(src=A4, dst=B4) / ICMP(type=3, code=1), 1, 20, 20, f"{0x301} {0x301}"),
        "later4": (IP(src=A4, dst=B4, frag=10, proto=17) / b"12345678", 17, 20, 20, None),
        "ospf4": (IP(src=A4, dst=B4, proto=89) / b"12345678", 89, 20, 20, None),
        "syn4": (IP(src=A4, dst=B4) / TCP(options=[("MSS", 1460)], **syn), 6, 20, 20, "1000 443"),
        "synodd4": (IP(src=A4, dst=B4) / TCP(options=[("NOP", None), ("MSS", 1460)], **syn), 6, 20, 20, "1000 443"),
        "udp6": (IPv6(src=A6, dst=B6, tc=0x2A, fl=0x12345) / UDP(sport=53, dport=4000), 17, 40, 40, "53 4000"),
        "ping6": (IPv6(src=A6, dst=B6) / ICMPv6EchoRequest(), 58, 40, 40, f"{0x8000} {0x8000}"),
        "hop6": (IPv6(src=A6, dst=B6) / hop / UDP(sport=1, dport=2), 17, 56, 56, "1 2"),
        "destination6": (IPv6(src=A6, dst=B6) / destination / UDP(sport=1, dport=2), 17, 48, 40, "1 2"),
        "all6": (IPv6(src=A6, dst=B6) / hop / destination / routing / destination / TCP(sport=1, dport=2),
                 6, 40 + 16 + 8 + 24 + 8, 40 + 16 + 8 + 24, "1 2"),
        "first6": (IPv6(src=A6, dst=B6) / hop / IPv6ExtHdrFragment(m=1, id=9) / destination / UDP(sport=1, dport=2),
                   17, 40 + 16 + 8 + 8, 56, "1 2"),
        "later6": (IPv6(src=A6, dst=B6) / IPv6ExtHdrFragment(offset=3, id=9, nh=17) / b"12345678", 17, 48, 40, None),
        "syn6": (IPv6(src=A6, dst=B6) / TCP(options=[("SAckOK", b""), ("MSS", 1440)], **syn), 6, 40, 40, "1000 443"),
    }
    for name, (packet, protocol, header, insert, ports) in cases.items():
        v6 = IPv6 in packet
        record = {"id": name, "packet": packet, "source": packet.src, "destination": packet.dst, "protocol": protocol,
                  "header_size": header, "insert_at": insert, "traffic_class": packet.tc if v6 else packet.tos}
        if ports:
            record["ports"] = ports
        if name.startswith("syn"):
            clamped = packet.copy()
            room = 1300 - (60 if v6 else 40)
            clamped[TCP].options = [(k, room if k == "MSS" else v) for k, v in packet[TCP].options]
            record |= {"mss": 1, "mtu": 1300, "clamped": clamped}
        yield record


def too_big():
    long4 = IP(src=A4, dst=B4, flags="DF", id=77) / UDP(sport=1, dport=2) / (b"x" * 1400)
    long6 = IPv6(src=A6, dst=B6) / UDP(sport=1, dport=2) / (b"x" * 1400)
    small4 = IP(src=A4, dst=B4, flags="DF") / UDP(sport=1, dport=2) / b"four"

    def answer4(packet, source):
        message = ICMP(type=3, code=4, nexthopmtu=1300) / Raw(bytes(packet)[:548])
        return IP(src=source, dst=A4, id=0, ttl=64) / message

    def answer6(packet, source):
        return IPv6(src=source, dst=A6, hlim=64) / ICMPv6PacketTooBig(mtu=1300) / Raw(bytes(packet)[:1232])

    for name, packet, source, make in (("long4", long4, B4, answer4), ("small4", small4, "203.0.113.9", answer4),
                                       ("long6", long6, B6, answer6)):
        yield {"id": name, "packet": packet, "mtu": 1300, "from": source, "answer": make(packet, source)}
    silent = {
        "error4": IP(src=A4, dst=B4) / ICMP(type=3, code=4) / long4,
        "error6": IPv6(src=A6, dst=B6) / ICMPv6PacketTooBig() / Raw(b"x" * 100),
        "later4": IP(src=A4, dst=B4, frag=10, proto=17) / b"12345678",
        "broadcast4": IP(src=A4, dst="255.255.255.255") / UDP() / b"x",
        "from_group4": IP(src="224.0.0.1", dst=B4) / UDP() / b"x",
        "from_nobody4": IP(src="0.0.0.0", dst=B4) / UDP() / b"x",
    }
    for name, packet in silent.items():
        yield {"id": name, "packet": packet, "mtu": 1300, "from": B6 if IPv6 in packet else B4}


def fragments():
    body = bytes(range(256)) * 5
    four = IP(src=A4, dst=B4, id=4321) / UDP(sport=1, dport=2) / body
    options = IP(src=A4, dst=B4, id=4322, options=[IPOption_Router_Alert()]) / UDP(sport=1, dport=2) / body
    for name, packet, size, header in (("four", four, 408, 20), ("options", options, 400, 24)):
        pieces = fragment(packet, size)
        yield {"id": name, "packet": packet, "mtu": header + size} | {f"piece{i}": p for i, p in enumerate(pieces)}
    hop = IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)])
    cut = IPv6ExtHdrFragment(id=99)
    for name, head in (("six", IPv6(src=A6, dst=B6)), ("hop6", IPv6(src=A6, dst=B6) / hop)):
        upper = UDP(sport=1, dport=2) / body
        pieces = fragment6(head / cut / upper, 600)
        yield {"id": name, "packet": head / upper, "mtu": 600} | {f"piece{i}": p for i, p in enumerate(pieces)}


write("packets.txt", "insert_at: where ESP or a fragment header goes; clamped: the packet with MSS for the mtu", packets())
write("too_big.txt", "a packet that is too big for mtu; answer: what `from` says to its sender, unless it must not", too_big())
write("fragments.txt", "a packet and its fragments of at most mtu bytes", fragments())
