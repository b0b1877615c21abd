"""UDP through proxies: winze and v2ray 4.34 in both roles, winze with itself, and winze alone."""
import contextlib
import json
import struct
import time

import pytest

import harness
from harness import HOST, client, free_port, listener, proxy_out, stream, vless_out, vless_server
from packets import SIZES, Association, check_many, udp_socket

PAIRS = [("winze", "v2ray"), ("v2ray", "winze"), ("winze", "winze")]
FREEDOM = {"tag": "direct", "protocol": "freedom"}
ACCOUNT = ("alice", "correct horse")


def ids(value):
    return "-".join(value) if isinstance(value, tuple) else value


def socks(port, host=HOST, **settings):
    return listener("socks", port, host, auth="noauth", udp=True, ip=host, **settings)


def start_alone(stage, inbound, outbound=FREEDOM, port=None, host=HOST, **extra):
    config = client([inbound], outbound)
    config.update(extra)
    return stage.start("winze", config, [port or inbound["port"]], host=host)


def start_pair(stage, makers, kind, inbound, host=HOST):
    """Over vless; `inbound` is the client's."""
    harness.start_pair(stage, makers, "vless", kind, [inbound], host)


@pytest.mark.parametrize("host", [HOST, "::1"])
def test_freedom(stage, echo, host):
    port, server = free_port(host), echo(host)
    start_alone(stage, socks(port, host), host=host)
    with Association(port, host) as association:
        server.check(association.exchange(server), [*SIZES, 2000, 8000, 60000])


@pytest.mark.parametrize("protocol", ["socks", "mixed"])
def test_accounts_and_the_address_connected_to(stage, echo, protocol):
    port, server = free_port(), echo()
    accounts = [{"user": ACCOUNT[0], "pass": ACCOUNT[1]}]
    start_alone(stage, listener(protocol, port, "0.0.0.0", auth="password", accounts=accounts, udp=True))
    with Association(port, "127.0.0.2", ACCOUNT) as association:
        assert association.relay[0] == "127.0.0.2"
        server.check(association.exchange(server))


def test_host_names(stage, echo):
    port, server = free_port(), echo()
    start_alone(stage, socks(port))
    with Association(port) as association:
        for number in range(3):
            association.send(b"%d" % number, "localhost", server.port)
            association.send(b"lost", "nobody.invalid", server.port)
            answer, source = association.receive()
            assert answer[2:] == b"%d" % number and source == (HOST, server.port)


def test_strangers_answer_too(stage, echo):
    """Full cone: of an association anyone may answer, of a dokodemo-door's session only the destination."""
    port, door, server = free_port(), free_port(), echo()
    inbounds = [socks(port), listener("dokodemo-door", door, address=HOST, port=server.port, network="tcp,udp")]
    stage.start("winze", client(inbounds, FREEDOM), [port, door])
    with Association(port) as association:
        association.send(b"from another port", HOST, server.port)
        assert association.receive()[1] == (HOST, server.other_port)
    with udp_socket(HOST) as s:
        s.sendto(b"from another port", (HOST, door))
        s.sendto(b"x", (HOST, door))
        assert s.recv(100)[2:] == b"x"


@pytest.mark.parametrize("maker", ["winze", "v2ray"])
@pytest.mark.parametrize("hosts", [(HOST, HOST), (HOST, "::1")], ids=["v4", "v4-v6"])
def test_two_destinations_over_one_association(stage, echo, hosts, maker):
    port, servers = free_port(), [echo(host) for host in hosts]
    start_pair(stage, ("winze", maker), "tcp", socks(port))
    with Association(port) as association:
        for number in range(20):
            server = servers[number % 2]
            server.check(association.exchange(server), [number + 1])
    assert all(len(server.sources) == 1 for server in servers)


@pytest.mark.parametrize("host", [HOST, "::1"])
@pytest.mark.parametrize("kind", ["tcp", "ws-tls"])
@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_vless(stage, echo, makers, kind, host):
    port, server = free_port(host), echo(host)
    start_pair(stage, makers, kind, socks(port, host), host)
    with Association(port, host) as association:
        server.check(association.exchange(server))
        association.send(b"to a name", "localhost", server.port)
        if host == HOST:
            assert association.receive()[0][2:] == b"to a name"


def test_vless_drops_what_peers_would_cut(stage, echo):
    port, server = free_port(), echo()
    start_pair(stage, ("winze", "winze"), "tls", socks(port))
    with Association(port) as association:
        # The echo adds two bytes.
        server.check(association.exchange(server), [2044])
        association.send(bytes(2047), HOST, server.port)
        association.send(bytes(2045), HOST, server.port)
        server.check(association.exchange(server), [1])


def test_vless_burst(stage, echo):
    """Whole and in order; of more at once than may wait some would be lost."""
    port, server = free_port(), echo()
    start_pair(stage, ("winze", "winze"), "ws-tls", socks(port))
    with Association(port) as association:
        got = []
        server.check(association.exchange(server), [1])
        for burst in range(20):
            for number in range(20):
                association.send(struct.pack(">I", burst * 20 + number) + bytes(1000), HOST, server.port)
            for number in range(20):
                got.append(struct.unpack(">I", association.receive()[0][2:6])[0])
    assert got == list(range(400))


@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_socks_outbound(stage, echo, makers):
    server_port, port, server = free_port(), free_port(), echo()
    accounts = {"auth": "password", "accounts": [{"user": ACCOUNT[0], "pass": ACCOUNT[1]}], "udp": True}
    stage.start(makers[1], client([listener("socks", server_port, **accounts)], FREEDOM), [server_port], "server")
    outbound = proxy_out("socks", server_port, ACCOUNT)
    stage.start(makers[0], client([socks(port)], outbound), [port], "client")
    with Association(port) as association:
        server.check(association.exchange(server))
        if "v2ray" not in makers:
            association.check_full_cone(server, echo())
        association.check_many(server)


def test_socks_through_vless(stage, echo):
    """The association of one outbound travels through another."""
    server_port, last_port, port, server = free_port(), free_port(), free_port(), echo()
    stage.start("winze", client([socks(last_port)], FREEDOM), [last_port], "last")
    stage.start("winze", vless_server(server_port, "tcp"), [server_port], "server")
    outbound = proxy_out("socks", last_port) | {"proxySettings": {"tag": "via"}}
    config = client([socks(port)], outbound)
    config["outbounds"].append(vless_out(server_port, "tcp") | {"tag": "via"})
    stage.start("winze", config, [port], "client")
    with Association(port) as association:
        server.check(association.exchange(server))


@pytest.mark.parametrize("host", [HOST, "::1"])
@pytest.mark.parametrize("makers", PAIRS, ids=ids)
def test_dokodemo(stage, echo, makers, host):
    door, server = free_port(host), echo(host)
    start_pair(stage, makers, "tcp",
               listener("dokodemo-door", door, host, address=host, port=server.port, network="tcp,udp"), host)
    for _ in range(3):
        with udp_socket(host) as s:
            s.connect((host, door))

            def exchange(data):
                for _ in range(200):
                    s.send(data)
                    with contextlib.suppress(ConnectionRefusedError):
                        return s.recv(65535)
                    time.sleep(0.02)  # v2ray opens the port for UDP after that for TCP

            server.check(exchange)
    assert len(server.sources) == 3
    with udp_socket(host) as s:
        s.connect((host, door))
        check_many(s.send, lambda: s.recv(65535))


def test_dokodemo_to_a_name_through_socks(stage, echo):
    """The server answers with the address of the name it was given."""
    server_port, door, server = free_port(), free_port(), echo()
    stage.start("winze", client([socks(server_port)], FREEDOM), [server_port], "server")
    inbound = listener("dokodemo-door", door, address="localhost", port=server.port, network="tcp,udp")
    start_alone(stage, inbound, proxy_out("socks", server_port))
    with udp_socket(HOST) as s:
        s.sendto(b"hello", (HOST, door))
        assert s.recv(100)[2:] == b"hello"


def test_redirect(stage, echo):
    port, server = free_port(), echo()
    redirect = {"protocol": "freedom", "settings": {"redirect": f"{HOST}:{server.port}"}}
    start_alone(stage, socks(port), redirect)
    with Association(port) as association:
        association.send(b"x", "192.0.2.1", 53)
        answer, source = association.receive()
        assert answer[2:] == b"x" and source == ("192.0.2.1", 53)


def test_association_ends_with_its_connection(stage, echo):
    port, server = free_port(), echo()
    process = start_alone(stage, socks(port))
    with Association(port) as association:
        server.check(association.exchange(server), [10])
        association.control.close()
        association.socket.connect(association.relay)
        with pytest.raises(ConnectionRefusedError):
            for _ in range(50):
                association.socket.send(b"\0\0\0" + association.address(HOST, server.port) + b"x")
                time.sleep(0.05)
    record = next(line for line in process.log.splitlines() if "to=udp:*" in line)
    assert "up=10" in record and "down=12" in record and "failed" not in record


def test_only_the_client_is_served(stage, echo):
    port, server = free_port(), echo()
    start_alone(stage, socks(port))
    with Association(port) as association, udp_socket(HOST) as other, udp_socket(HOST) as stranger:
        stranger.bind(("127.0.0.9", 0))
        stranger.sendto(b"\0\0\0" + association.address(HOST, server.port) + b"x", association.relay)
        association.send(b"fragment", HOST, server.port, b"\0\0\1")
        association.socket.sendto(b"\0\0", association.relay)
        server.check(association.exchange(server), [10])
        # The port is fixed now.
        other.sendto(b"\0\0\0" + association.address(HOST, server.port) + b"x", association.relay)
        server.check(association.exchange(server), [10])
        other.settimeout(0.3)
        with pytest.raises(TimeoutError):
            other.recv(100)
    assert len(server.sources) == 1


def test_refusals(stage, echo):
    """What has no UDP says so; a blackhole takes all and gives nothing."""
    tls = proxy_out("socks", 1) | {"streamSettings": stream("tls", "client")}
    server = echo()

    def ask(outbound, **settings):
        port = free_port()
        process = start_alone(stage, listener("socks", port, **settings), outbound)
        return Association(port), process

    refused, process = ask(proxy_out("http", free_port()), udp=True)
    assert refused.code == 7
    harness.wait_text(process, "failed=dial")
    assert ask(FREEDOM)[0].code == 7
    assert ask(tls, udp=True)[0].code != 0
    with ask({"protocol": "blackhole"}, udp=True)[0] as association:
        association.send(b"x", server.host, server.port)
        association.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            association.receive()


def test_idle_sessions_end(stage, echo):
    port, door, server = free_port(), free_port(), echo()
    config = client([socks(port), listener("dokodemo-door", door, address=HOST, port=server.port, network="tcp,udp")],
                    FREEDOM)
    config["policy"] = {"levels": {"0": {"connIdle": 1}}}
    process = stage.start("winze", config, [port, door], arguments=("--log-format", "json"))
    with Association(port) as association, udp_socket(HOST) as s:
        server.check(association.exchange(server), [10])
        s.sendto(b"x", (HOST, door))
        s.recv(100)
        association.control.settimeout(5)
        assert association.control.recv(1) == b""
    harness.wait_text(process, '"udp"', count=2)
    records = [json.loads(line) for line in process.log.splitlines()]
    records = [record for record in records if record.get("network") == "udp"]
    assert {record.get("to") for record in records} == {None, f"{HOST}:{server.port}"}
    assert all(1000 <= record["ms"] < 4000 and record["up"] > 0 and "failed" not in record for record in records)


@pytest.mark.parametrize("encoding", ["None", "Packet"])
def test_vmess_to_several_destinations(stage, echo, encoding):
    """With addresses in the packets one stream serves all, and strangers may answer (full cone)."""
    server_port, port, servers = free_port(), free_port(), [echo(), echo("::1")]
    stage.start("winze", harness.proxy_server("vmess", server_port, "tls"), [server_port], "server")
    outbound = harness.proxy_client("vmess", server_port, "tls", security="auto")
    outbound["settings"]["packetEncoding"] = encoding
    stage.start("winze", client([socks(port)], outbound), [port], "client")
    with Association(port) as association:
        for number in range(20):
            server = servers[number % 2]
            server.check(association.exchange(server), [number + 1])
        if encoding == "Packet":
            association.send(b"from another port", HOST, servers[0].port)
            assert association.receive()[1] == (HOST, servers[0].other_port)
