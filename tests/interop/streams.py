"""Streams whose bytes are counted: through a SOCKS5 proxy, or as a VLESS or Trojan client, bare or with TLS 1.3 within."""
import hashlib
import socket
import ssl
import struct
import uuid

from harness import HOST, PASSWORD, TLS, UUID

PIECE = 1 << 18


def receive(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, data
        data += piece
    return data


def tcp(port, source=HOST, room=None):
    """`room`: of the receive buffer, so that little is on its way."""
    connection = socket.socket()
    connection.settimeout(20)
    if room:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    connection.bind((source, 0))
    connection.connect((HOST, port))
    return connection


def address(port):
    return b"\x01" + socket.inet_aton(HOST) + struct.pack(">H", port)


def by_socks(proxy, port, account=None, **options):
    """A stream to `port`, asked for with as few writes as may be."""
    connection = tcp(proxy, **options)
    if account:
        user, password = (text.encode() for text in account)
        login = bytes([1, len(user)]) + user + bytes([len(password)]) + password
        connection.sendall(b"\x05\x01\x02" + login + b"\x05\x01\x00" + address(port))
        answer = receive(connection, 14)
        assert answer[:6] == b"\x05\x02\x01\x00\x05\x00", answer
    else:
        connection.sendall(b"\x05\x01\x00\x05\x01\x00" + address(port))
        answer = receive(connection, 12)
        assert answer[:4] == b"\x05\x00\x05\x00", answer
    return connection


def by_vless(proxy, port, udp=False, **options):
    """The server's two bytes come before its first payload."""
    connection = tcp(proxy, **options)
    to = struct.pack(">H", port) + b"\x01" + socket.inet_aton(HOST)
    connection.sendall(b"\0" + uuid.UUID(UUID).bytes + b"\0" + (b"\2" if udp else b"\1") + to)
    return connection


def by_trojan(proxy, port, udp=False, **options):
    connection = tcp(proxy, **options)
    key = hashlib.sha224(PASSWORD.encode()).hexdigest().encode()
    connection.sendall(key + b"\r\n" + (b"\3" if udp else b"\1") + address(port) + b"\r\n")
    return connection


class Tls:
    """One end of a TLS 1.3 connection. `sent` and `received` are the bytes of its records."""

    def __init__(self, connection, server=False):
        self.connection = connection
        self.sent = self.received = 0
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if server:
            context.load_cert_chain(TLS / "a.pem", TLS / "a.key")
            context.num_tickets = 0  # what is sent is what the peer has read when it has the last of the payload
        else:
            context.load_verify_locations(TLS / "root.pem")
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server, None if server else "a.test")
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                assert self._fill(), "ended within the handshake"
        self._flush()

    def write(self, data):
        self.tls.write(data)
        self._flush()

    def read(self):
        """Some bytes; none at the end."""
        while True:
            try:
                return self.tls.read(PIECE)
            except ssl.SSLWantReadError:
                if not self._fill():
                    return b""

    def _flush(self):
        data = self.outgoing.read()
        self.connection.sendall(data)
        self.sent += len(data)

    def _fill(self):
        data = self.connection.recv(PIECE)
        self.received += len(data)
        self.incoming.write(data)
        return len(data)
