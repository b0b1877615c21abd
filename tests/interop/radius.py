"""FreeRADIUS in a network namespace: EAP-TLS with TLS 1.3 alone, by certificates of strongswan.Pki."""
import pathlib
import shutil

from harness import require, wait_text

SECRET = "testing123"
SERVER = """prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {folder}
logdir = {folder}
run_dir = {folder}
proxy_requests = no
security {{
    allow_core_dumps = no
}}
client all {{
    ipaddr = 127.0.0.1
    secret = {secret}
}}
modules {{
    eap {{
        default_eap_type = tls
        tls-config common {{
            private_key_file = {folder}/private/{name}.pem
            certificate_file = {folder}/x509/{name}.pem
            ca_file = {folder}/x509ca/ca.pem
            tls_min_version = "1.3"
            tls_max_version = "1.3"
        }}
        tls {{
            tls = common
        }}
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = 1812
    }}
    authorize {{
        eap
    }}
    authenticate {{
        eap
    }}
}}
"""
# For strongswan.conf: a gateway that has EAP led by it.
OF_STRONGSWAN = f"""eap-radius {{
    load = yes
    accounting = no
    servers {{
        main {{
            address = 127.0.0.1
            secret = {SECRET}
        }}
    }}
}}"""


class Radius:
    """freeradius in `space`; `pki` (strongswan.End) has the certificate `name`.pem."""

    def __init__(self, space, folder, pki, name):
        require(shutil.which("freeradius"), "freeradius is not installed")
        folder = pathlib.Path(folder) / "radius"
        folder.mkdir()
        pki.copy_to(folder)
        (folder / "radiusd.conf").write_text(SERVER.format(folder=folder, secret=SECRET, name=name))
        self.running = space.start(folder / "log", "freeradius", "-X", "-d", folder)
        wait_text(self.running, "Ready to process requests")

    @property
    def log(self):
        return self.running.log

    def stop(self):
        return self.running.stop()
