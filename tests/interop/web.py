"""nginx with the files of the interop tests, over HTTPS (TLS 1.3 and 1.2) and HTTP. What is PUT under /up/ is kept."""
import subprocess

import harness
from harness import HOST, TLS


class Web:
    def __init__(self, files, folder):
        harness.require_program("nginx")
        self.https, self.http = harness.free_port(), harness.free_port()
        self.kept = folder / "up"
        self.kept.mkdir()
        config = folder / "nginx.conf"
        config.write_text(f"""
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 0; sendfile on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen {HOST}:{self.http} backlog=1024; listen {HOST}:{self.https} ssl backlog=1024;
    ssl_certificate {TLS}/a.pem; ssl_certificate_key {TLS}/a.key; ssl_protocols TLSv1.2 TLSv1.3;
    root {files};
    location /up/ {{ root {folder}; dav_methods PUT; }}
  }}
}}""")
        self.process = subprocess.Popen(["nginx", "-c", str(config), "-e", str(folder / "error.log")])
        harness.wait_port(self.https, process=self.process)

    def stop(self):
        self.process.terminate()
        self.process.wait()
