"""The client ends its direction, and the other one goes on: what is answered after the end arrives whole."""
import socket

import pytest

from harness import HOST, PROTOCOLS, RawServer, client, free_port, listener, proxy_client, proxy_server

SIZE = 3_000_000
COOL = {"enabled": True}
# In the protocol itself; by TCP's and TLS's own end where it has none.
PLAIN = [("vless", "tcp"), ("vless", "tls"), ("vmess", "tcp"), ("vmess", "ws-tls"), ("trojan", "tls"),
         ("shadowsocks", "tcp")]
MULTIPLEXED = [(protocol, "tcp") for protocol in PROTOCOLS]
OURS = ("winze", "winze")


def rows():
    for protocol, kind in PLAIN:
        yield pytest.param(OURS, protocol, kind, None, id=f"{protocol}-{kind}")
    for protocol, kind in MULTIPLEXED:
        yield pytest.param(OURS, protocol, kind, COOL, id=f"{protocol}-{kind}-mux.cool")
    for name in ("smux", "yamux", "h2mux"):
        yield pytest.param(OURS, "vless", "tcp", COOL | {"protocol": name}, id=f"vless-tcp-{name}")
    # Of V2Ray's clients those of VMess alone say that they have ended, and its servers tell nobody.
    for kind in ("tcp", "ws-tls"):
        yield pytest.param(("v2ray", "winze"), "vmess", kind, None, id=f"vmess-{kind}-v2ray-winze")


def start_pair(stage, makers, protocol, kind, mux, target):
    """Returns a port of the client's that leads to `target`."""
    port, door = free_port(), free_port()
    security = PROTOCOLS[protocol].securities[0]
    stage.start(makers[1], proxy_server(protocol, port, kind, security=security), [port], "server")
    outbound = proxy_client(protocol, port, kind, security=security) | ({"mux": mux} if mux else {})
    inbound = listener("dokodemo-door", door, address=HOST, port=target)
    stage.start(makers[0], client([inbound], outbound), [door], "client")
    return door


def exchange(door):
    """Sends, ends, and reads to the end."""
    with socket.create_connection((HOST, door)) as s:
        s.settimeout(20)
        s.sendall(bytes(SIZE))
        s.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    return answer


@pytest.mark.parametrize("makers,protocol,kind,mux", rows())
def test_the_end_is_passed_on(stage, makers, protocol, kind, mux):
    def answer_at_the_end(s):
        total = 0
        while piece := s.recv(65536):
            total += len(piece)
        s.sendall(b"got %d" % total + bytes(SIZE))

    target = RawServer(answer_at_the_end)
    door = start_pair(stage, makers, protocol, kind, mux, target.port)
    assert exchange(door) == b"got %d" % SIZE + bytes(SIZE)
    target.stop()


@pytest.mark.parametrize("makers", [("winze", "v2ray"), ("v2ray", "winze")], ids="-".join)
@pytest.mark.parametrize("protocol,kind", [*PLAIN, ("vless", "ws-tls"), ("trojan", "ws-tls")])
def test_the_end_cuts_nothing_off(stage, makers, protocol, kind):
    """Wherever the end is passed on: the target answers when it has all."""
    def answer_when_all_is_there(s):
        left = SIZE
        while left and (piece := s.recv(min(left, 65536))):
            left -= len(piece)
        s.sendall(b"got all" + bytes(SIZE))

    target = RawServer(answer_when_all_is_there)
    door = start_pair(stage, makers, protocol, kind, None, target.port)
    assert exchange(door) == b"got all" + bytes(SIZE)
    target.stop()
