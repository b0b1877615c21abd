"""A TCP stream that runs for as long as its user wants, and says whether every byte came through.

    tcp_stream.py serve PORT              sends back what comes, on all addresses; prints "ready"
    tcp_stream.py run SOURCE TO PORT      prints "flowing" after the first echo; on SIGINT it ends the stream, waits for the
                                          rest, and prints its bytes and SHA-256. Status 1: bytes lost, changed or stalled.

It is paced, so that several run side by side. Nothing moved for STALL seconds is a failure.
"""
import hashlib
import random
import signal
import socket
import sys
import threading
import time

STALL = 8
PIECE, PAUSE = 4096, 0.02


def serve(port):
    server = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    print("ready", flush=True)
    while True:
        threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()


def echo(connection):
    with connection:
        while piece := connection.recv(PIECE):
            connection.sendall(piece)


def run(source, to, port):
    ending = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: ending.set())
    connection = socket.create_connection((to, int(port)), STALL, (source, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent = hashlib.sha256()
    total = 0

    def send():
        nonlocal total
        data = random.Random(7)
        while not ending.is_set():
            piece = data.randbytes(PIECE)
            connection.sendall(piece)
            sent.update(piece)
            total += len(piece)
            time.sleep(PAUSE)
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    came, count = hashlib.sha256(), 0
    while piece := connection.recv(65536):  # in time, by the timeout of the connection
        if not count:
            print("flowing", flush=True)
        came.update(piece)
        count += len(piece)
    sender.join(STALL)
    if sender.is_alive() or count != total or came.digest() != sent.digest():
        sys.exit(f"{total} bytes were sent, {count} came back, or other ones")
    print(f"{total} bytes there and back, sha256 {sent.hexdigest()}", flush=True)


{"serve": serve, "run": run}[sys.argv[1]](*sys.argv[2:])
