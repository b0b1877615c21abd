#!/usr/bin/env bash
# Builds winze and shows its two halves on this machine. A proxy chain on loopback, with a file downloaded through it:
#
#   curl --SOCKS5--> winze client --VLESS in WebSocket in TLS--> winze server --> nginx
#
# and an IPsec tunnel between two network namespaces, with pings and iperf3 through it, and new keys meanwhile:
#
#   ping, iperf3 --> ipsec_client --IKEv2 and ESP in UDP--> ipsec_gateway --> 10.2.0.1
#
# Without root there are no namespaces, and no interfaces: client and gateway then talk over loopback, and make the
# packets that go through the tunnel themselves.
#
# Installs what is missing by apt (as root, or with sudo). Everything it starts ends with it; its files are in a
# temporary folder, the build in build/quickstart.
#   --keep  leaves the folder, to read the configurations and logs
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/packages.sh
keep=
case ${1:-} in
  '') ;;
  --keep) keep=yes ;;
  *) sed -n '2,15s/^# \{0,1\}//p' "$0"; [ "$1" = --help ] || [ "$1" = -h ]; exit ;;
esac

install_missing "${build_packages[@]}" "${demo_packages[@]}"
echo "Building (a few minutes the first time) ..."
if ! cmake --preset release -DWINZE_TESTS=OFF -DWINZE_BENCHMARKS=OFF -B build/quickstart >/dev/null ||
  ! cmake --build build/quickstart --target winze_tool ipsec_client ipsec_gateway; then
  echo "The build failed; what it said is above." >&2
  exit 1
fi
winze=build/quickstart/bin/winze

work=$(mktemp -d) running=() spaces=()
finish() {
  local pid space
  for pid in "${running[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${running[@]}"; do wait "$pid" 2>/dev/null || true; done
  for space in "${spaces[@]}"; do ip netns del "$space" 2>/dev/null || true; done
  if [ -n "$keep" ]; then echo "Configurations and logs: $work"; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 1' INT TERM

free_port() { # a port that nobody listens on; below the range the kernel gives to clients
  local port
  while :; do
    port=$((20000 + RANDOM % 10000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
  done
  echo "$port"
}
socks_port=$(free_port) server_port=$(free_port) web_port=$(free_port)
user=$("$winze" uuid)

# A certificate authority of our own, and the server's certificate.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=quickstart root" \
  -keyout "$work/root.key" -out "$work/root.pem" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=tunnel.test" \
  -keyout "$work/server.key" -out "$work/server.csr" 2>/dev/null
openssl x509 -req -in "$work/server.csr" -CA "$work/root.pem" -CAkey "$work/root.key" -CAcreateserial -days 1 \
  -extfile <(echo "subjectAltName=DNS:tunnel.test") -out "$work/server.pem" 2>/dev/null

cat >"$work/server.json" <<JSON
{
  "inbounds": [{
    "listen": "127.0.0.1", "port": $server_port, "protocol": "vless",
    "settings": {"clients": [{"id": "$user", "email": "you@example"}], "decryption": "none"},
    "streamSettings": {
      "network": "ws", "wsSettings": {"path": "/tunnel"},
      "security": "tls",
      "tlsSettings": {"certificates": [{"certificateFile": "$work/server.pem", "keyFile": "$work/server.key"}]}
    }
  }],
  "outbounds": [{"protocol": "freedom"}]
}
JSON
cat >"$work/client.json" <<JSON
{
  "inbounds": [{"listen": "127.0.0.1", "port": $socks_port, "protocol": "socks"}],
  "outbounds": [{
    "protocol": "vless",
    "settings": {"vnext": [{"address": "127.0.0.1", "port": $server_port,
                            "users": [{"id": "$user", "encryption": "none"}]}]},
    "streamSettings": {
      "network": "ws", "wsSettings": {"path": "/tunnel", "headers": {"Host": "tunnel.test"}},
      "security": "tls",
      "tlsSettings": {"serverName": "tunnel.test",
                      "certificates": [{"usage": "verify", "certificateFile": "$work/root.pem"}]}
    }
  }]
}
JSON

mkdir "$work/www"
head -c $((256 << 20)) /dev/urandom >"$work/www/file"
cat >"$work/nginx.conf" <<NGINX
daemon off; pid $work/nginx.pid; error_log $work/nginx.log; worker_processes 1;
events {}
http {
  access_log off; sendfile on;
  client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
  uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  server { listen 127.0.0.1:$web_port; root $work/www; }
}
NGINX
if [ "$(id -u)" = 0 ]; then chmod 755 "$work"; fi # nginx's worker is another user then

start() { # start NAME PORT COMMAND...: runs it, and waits until it listens
  local name=$1 port=$2 pid i
  shift 2
  "$@" >"$work/$name.log" 2>&1 &
  pid=$!
  running+=("$pid")
  for i in $(seq 200); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return 0; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  echo "$name does not listen on port $port:" >&2
  cat "$work/$name.log" >&2
  exit 1
}
start nginx "$web_port" "$(command -v nginx || echo /usr/sbin/nginx)" -p "$work" -c "$work/nginx.conf" -e "$work/nginx.log"
start server "$server_port" "$winze" run -c "$work/server.json"
start client "$socks_port" "$winze" run -c "$work/client.json"

cat <<DIAGRAM

  curl ----SOCKS5----> winze client ----VLESS----> winze server ----> nginx
        127.0.0.1:$socks_port          in WebSocket    127.0.0.1:$server_port    127.0.0.1:$web_port
                                    in TLS
DIAGRAM

wanted=$(sha256sum <"$work/www/file" | cut -d' ' -f1)
figures=$(curl -sS --noproxy '' -x "socks5h://127.0.0.1:$socks_port" -o "$work/got" \
  -w '%{size_download} bytes in %{time_total} s, %{speed_download} bytes/s' "http://127.0.0.1:$web_port/file")
got=$(sha256sum <"$work/got" | cut -d' ' -f1)
echo
echo "Downloaded $figures"
echo "SHA-256 of the origin's file: $wanted"
echo "SHA-256 of what arrived:      $got"
if [ "$got" != "$wanted" ]; then
  echo "The file arrived damaged." >&2
  exit 1
fi

# --- the tunnel ---

bin=$PWD/build/quickstart/bin
secret=$(openssl rand -hex 32)
tunnel_config() { # tunnel_config CONNECTION-LINES LOCAL-ID REMOTE-ID CHILD-LINES
  cat <<CONF
connections {
  demo {
    version = 2
    $1
    proposals = aes256gcm16-prfsha256-x25519
    local { auth = psk
            id = $2 }
    remote { auth = psk
             id = $3 }
    children { net { $4
                     esp_proposals = aes256gcm16-x25519 } }
  }
}
secrets { ike { secret = 0x$secret } }
CONF
}
wait_line() { # wait_line FILE TEXT: until the file has it
  local i
  for i in $(seq 200); do
    if grep -q "$2" "$1"; then return 0; fi
    sleep 0.05
  done
  echo "$1 never said \"$2\":" >&2
  cat "$1" >&2
  exit 1
}
# In one namespace the gateway, with 10.2.0.1 behind it; in another the client, which is given an address by it.
tunnel_in_spaces() {
  local near=quickstart-c-$$ far=quickstart-g-$$ client
  ip netns add "$near"
  spaces+=("$near")
  ip netns add "$far"
  spaces+=("$far")
  ip link add wire netns "$near" type veth peer name wire netns "$far"
  ip -n "$near" addr add 192.0.2.1/24 dev wire
  ip -n "$far" addr add 192.0.2.2/24 dev wire
  ip -n "$far" addr add 10.2.0.1/24 dev lo
  for space in "$near" "$far"; do
    ip -n "$space" link set lo up
    ip -n "$space" link set wire up
  done
  { tunnel_config "pools = vip" gateway.test client.test "local_ts = 10.2.0.0/24"
    echo "pools { vip { addrs = 10.3.0.0/24
  dns = 10.2.0.1 } }"; } >"$work/gateway.conf"
  tunnel_config "remote_addrs = 192.0.2.2
    vips = 0.0.0.0" client.test gateway.test "remote_ts = 10.2.0.0/24" >"$work/client.conf"
  ip netns exec "$far" "$bin/ipsec_gateway" -c "$work/gateway.conf" >"$work/gateway.log" 2>&1 &
  running+=($!)
  wait_line "$work/gateway.log" "listening at"
  ip netns exec "$near" "$bin/ipsec_client" -c "$work/client.conf" >"$work/ipsec-client.log" 2>&1 &
  client=$!
  running+=("$client")
  wait_line "$work/ipsec-client.log" "child net up"
  ip netns exec "$far" iperf3 -s --forceflush -B 10.2.0.1 >"$work/iperf3.log" 2>&1 &
  running+=($!)
  wait_line "$work/iperf3.log" "listening"
  echo
  echo "ping through the tunnel, with new keys for the IKE SA and its child in the middle of it:"
  (sleep 1; kill -USR1 "$client") &
  ip netns exec "$near" ping -q -c 30 -i 0.1 -W 2 10.2.0.1 | tail -2
  wait_line "$work/ipsec-client.log" "rekeyed, SPI"
  echo
  echo "iperf3 through the tunnel, 5 s:"
  ip netns exec "$near" iperf3 -c 10.2.0.1 -t 5 | grep -E "sender|receiver"
  echo
  echo "What the client said:"
  sed 's/^/  /' "$work/ipsec-client.log"
}
# Both on loopback, without an interface: the gateway answers pings itself.
tunnel_without_root() {
  local port
  port=$(free_port)
  tunnel_config "" gateway.test client.test "local_ts = 10.2.0.0/24
    remote_ts = 10.1.0.0/24" >"$work/gateway.conf"
  tunnel_config "remote_addrs = 127.0.0.1
    remote_port = $port" client.test gateway.test "local_ts = 10.1.0.0/24
    remote_ts = 10.2.0.0/24" >"$work/client.conf"
  "$bin/ipsec_gateway" -c "$work/gateway.conf" --echo --port "$port" --nat-port "$port" >"$work/gateway.log" 2>&1 &
  running+=($!)
  wait_line "$work/gateway.log" "listening at"
  echo
  echo "Not root, so no namespaces and no iperf3: a tunnel over loopback, with packets of the programs' own. Echoes, then as"
  echo "many as fit for 5 s, each with new keys for the IKE SA and its child in the middle; what the client said:"
  "$bin/ipsec_client" -c "$work/client.conf" --once 10.2.0.1 --count 30 --rekey --load 5 >"$work/ipsec-client.log" 2>&1 ||
    { cat "$work/ipsec-client.log" "$work/gateway.log" >&2; exit 1; }
  sed 's/^/  /' "$work/ipsec-client.log"
}
if [ "$(id -u)" = 0 ] && [ -e /dev/net/tun ]; then tunnel_in_spaces; else tunnel_without_root; fi
echo
echo "It works. The configurations are V2Ray's JSON and strongSwan's swanctl.conf: --keep leaves them to read."
