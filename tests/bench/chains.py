"""The chains that proxy.py compares, and who runs each: two processes of one maker, a client role and a server role."""
import base64
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
from harness import (HOST, MAKERS, PASSWORD, PEERS, PROTOCOLS, TLS, UUID, Running, client, free_port, listener, proxy_client,
                     proxy_server, wait_port)


class Chain:
    """`kind` is harness.stream()'s; `peers` are the makers besides winze; `udp`: it carries datagrams; `vision`: with
    that flow, so the load begins like TLS."""

    def __init__(self, protocol, kind, peers, security=None, mux=False, udp=False, vision=False):
        self.protocol, self.kind, self.peers = protocol, kind, peers
        self.security, self.mux, self.udp, self.vision = security, mux, udp, vision
        # The 2022 edition takes keys.
        self.password = base64.b64encode(b"winze benchmarks").decode() if "2022-" in (security or "") else PASSWORD


CHAINS = {
    # VLESS over each kind of stream.
    "tcp": Chain("vless", "tcp", ["v2ray", "haproxy"]),
    "tls": Chain("vless", "tls", ["v2ray", "haproxy"]),
    "vision": Chain("vless", "tls", ["xray"], vision=True),
    "ws": Chain("vless", "ws", ["v2ray"]),
    "ws-tls": Chain("vless", "ws-tls", ["v2ray"]),
    # The other protocols.
    "vmess-gcm": Chain("vmess", "tcp", ["v2ray", "xray", "singbox"], "aes-128-gcm", udp=True),
    "vmess-chacha": Chain("vmess", "tcp", ["v2ray", "xray", "singbox"], "chacha20-poly1305"),
    "vmess-ws-tls": Chain("vmess", "ws-tls", ["v2ray", "xray"], "aes-128-gcm"),
    "ss-gcm": Chain("shadowsocks", "tcp", ["v2ray", "ss-libev", "xray", "singbox", "ss-rust"], "aes-256-gcm", udp=True),
    "ss-2022": Chain("shadowsocks", "tcp", ["xray", "singbox", "ss-rust"], "2022-blake3-aes-128-gcm", udp=True),
    "trojan": Chain("trojan", "tls", ["v2ray", "trojan", "xray", "singbox"]),
    "mux8": Chain("vless", "tcp", ["v2ray", "xray"], mux=True),
}


def missing(maker, chain):
    """Why `maker` is not in this run; nothing when it is."""
    if CHAINS[chain].protocol not in PROTOCOLS:
        return f"{CHAINS[chain].protocol} is not among the protocols here"
    programs = {"winze": None, "haproxy": "haproxy", "ss-libev": "ss-server", "ss-rust": str(PEERS / "ssserver")}
    program = programs[maker] if maker in programs else MAKERS[maker]()[0]
    return f"{program} is not there" if program and not shutil.which(program) else None


class Working:
    """A chain at work; `door` leads to the origin, and for datagrams to the echo on the same port number."""

    def __init__(self, stage, maker, name, origin):
        self.stage, self.maker, self.chain, self.name = stage, maker, CHAINS[name], f"{maker}-{name}"
        server_port, self.door = free_port(), free_port()
        start = {"haproxy": self.start_haproxy, "ss-libev": self.start_libev, "ss-rust": self.start_rust, "trojan": self.start_trojan,
                 "singbox": self.start_singbox}
        self.roles = start.get(maker, self.start_v2ray)(server_port, origin)

    def start_v2ray(self, server_port, origin):
        """V2Ray's configuration, which winze and Xray read too."""
        c = self.chain
        networks = "tcp,udp" if c.udp else "tcp"
        server = proxy_server(c.protocol, server_port, c.kind, security=c.security)
        if self.maker == "xray":
            # It does not serve loopback addresses otherwise.
            server["outbounds"][0]["settings"] = {"finalRules": [{"action": "allow"}]}
        outbound = proxy_client(c.protocol, server_port, c.kind, security=c.security)
        if c.protocol == "shadowsocks":
            server["inbounds"][0]["settings"]["password"] = c.password
            outbound["settings"]["servers"][0]["password"] = c.password
        if c.vision:
            server["inbounds"][0]["settings"]["clients"][0]["flow"] = "xtls-rprx-vision"
            outbound["settings"]["vnext"][0]["users"][0]["flow"] = "xtls-rprx-vision"
        if c.mux:
            outbound["mux"] = {"enabled": True, "concurrency": 8}
        door = listener("dokodemo-door", self.door, address=HOST, port=origin, network=networks)
        return {"server": self.stage.start(self.maker, server, [server_port], f"{self.name}-server"),
                "client": self.stage.start(self.maker, client([door], outbound), [self.door], f"{self.name}-client")}

    def start_singbox(self, server_port, origin):
        c = self.chain
        inbound = {"type": c.protocol, "listen": HOST, "listen_port": server_port}
        outbound = {"type": c.protocol, "server": HOST, "server_port": server_port}
        secrets = {"shadowsocks": ({"method": c.security, "password": c.password},) * 2,
                   "vmess": ({"users": [{"uuid": UUID}]}, {"uuid": UUID, "security": c.security}),
                   "trojan": ({"users": [{"password": PASSWORD}]}, {"password": PASSWORD})}[c.protocol]
        inbound, outbound = inbound | secrets[0], outbound | secrets[1]
        if c.kind == "tls":
            inbound["tls"] = {"enabled": True, "certificate_path": str(TLS / "a.pem"), "key_path": str(TLS / "a.key")}
            outbound["tls"] = {"enabled": True, "server_name": "a.test", "certificate_path": str(TLS / "root.pem")}
        door = {"type": "direct", "listen": HOST, "listen_port": self.door, "override_address": HOST,
                "override_port": origin}
        server = {"inbounds": [inbound], "outbounds": [{"type": "direct"}]}
        leading = {"inbounds": [door], "outbounds": [outbound]}
        return {"server": self.stage.start(self.maker, server, [server_port], f"{self.name}-server"),
                "client": self.stage.start(self.maker, leading, [self.door], f"{self.name}-client")}

    def run(self, role, command, port):
        process = Running(command, self.stage.folder / f"{self.name}-{role}.log")
        self.stage.running.append(process)
        wait_port(port, process=process.process)
        return process

    def start_libev(self, server_port, origin):
        common = ["-k", self.chain.password, "-m", self.chain.security, "-u"]
        server = ["ss-server", "-s", HOST, "-p", str(server_port), *common]
        tunnel = ["ss-tunnel", "-s", HOST, "-p", str(server_port), "-b", HOST, "-l", str(self.door),
                  "-L", f"{HOST}:{origin}", *common]
        return {"server": self.run("server", server, server_port), "client": self.run("client", tunnel, self.door)}

    def start_rust(self, server_port, origin):
        common = {"server": HOST, "server_port": server_port, "method": self.chain.security, "password": self.chain.password,
                  "mode": "tcp_and_udp"}
        door = {"protocol": "tunnel", "local_address": HOST, "local_port": self.door, "forward_address": HOST,
                "forward_port": origin, "mode": "tcp_and_udp"}
        return {"server": self.stage.start("ssserver", common, [server_port], f"{self.name}-server"),
                "client": self.stage.start("sslocal", common | {"locals": [door]}, [self.door], f"{self.name}-client")}

    def start_trojan(self, server_port, origin):
        ssl = {"alpn": ["http/1.1"], "session_ticket": True, "reuse_session": True}
        server = {"run_type": "server", "local_addr": HOST, "local_port": server_port, "remote_addr": HOST,
                  "remote_port": origin, "password": [PASSWORD], "log_level": 2,
                  "ssl": ssl | {"cert": str(TLS / "a.pem"), "key": str(TLS / "a.key")}}
        door = {"run_type": "forward", "local_addr": HOST, "local_port": self.door, "remote_addr": HOST,
                "remote_port": server_port, "target_addr": HOST, "target_port": origin, "password": [PASSWORD],
                "log_level": 2, "ssl": ssl | {"verify": True, "verify_hostname": True, "sni": "a.test",
                                              "cert": str(TLS / "root.pem")}}
        return {"server": self.stage.start("trojan", server, [server_port], f"{self.name}-server"),
                "client": self.stage.start("trojan", door, [self.door], f"{self.name}-client")}

    def start_haproxy(self, server_port, origin):
        pem = self.stage.folder / "haproxy.pem"
        pem.write_text((TLS / "a.pem").read_text() + (TLS / "a.key").read_text())
        tls = self.chain.kind == "tls"
        tls_in = f" ssl crt {pem}" if tls else ""
        tls_out = f" ssl verify required ca-file {TLS / 'root.pem'} sni str(a.test) verifyhost a.test" if tls else ""
        roles = {"server": (server_port, tls_in, origin, ""), "client": (self.door, "", server_port, tls_out)}
        out = {}
        for role, (port, listening, to, connecting) in roles.items():
            path = self.stage.folder / f"{self.name}-{role}.cfg"
            path.write_text(f"""global
  maxconn 5000
  nbthread {os.cpu_count()}
defaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen chain
  bind {HOST}:{port}{listening}
  server next {HOST}:{to}{connecting}
""")
            out[role] = self.run(role, ["haproxy", "-f", str(path)], port)
        return out

    def cpu_seconds(self):
        total = 0
        for process in self.roles.values():
            fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def memory_mib(self):
        """Of the larger of the two processes."""
        return max(process.rss_kib() for process in self.roles.values()) / 1024

    def stop(self):
        for process in self.roles.values():
            process.stop()
