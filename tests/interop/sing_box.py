"""sing-box's configurations, of proxy protocols that the tests share: ends of `harness.proxy_server` and `proxy_client`."""
from harness import HOST, PASSWORD, TLS, UUID

USERS = {"vless": {"uuid": UUID}, "vmess": {"uuid": UUID}, "trojan": {"password": PASSWORD}}
DIRECT = {"type": "direct"}


def server(protocol, port, kind="tcp", **inbound):
    """`kind`: tcp or tls."""
    inbound = {"type": protocol, "listen": HOST, "listen_port": port, "users": [USERS[protocol]]} | inbound
    if kind == "tls":
        inbound["tls"] = {"enabled": True, "alpn": ["http/1.1"], "certificate_path": str(TLS / "a.pem"),
                          "key_path": str(TLS / "a.key")}
    return {"inbounds": [inbound], "outbounds": [DIRECT]}


def client(protocol, port, socks, kind="tcp", **outbound):
    outbound = {"type": protocol, "server": HOST, "server_port": port} | USERS[protocol] | outbound
    if kind == "tls":
        outbound["tls"] = {"enabled": True, "server_name": "a.test", "alpn": ["http/1.1"],
                           "certificate_path": str(TLS / "root.pem")}
    return {"inbounds": [{"type": "socks", "listen": HOST, "listen_port": socks}], "outbounds": [outbound]}
