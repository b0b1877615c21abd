"""A path slower than loopback, between a client and a server of a proxy protocol."""
import contextlib
import socket
import threading
import time

from harness import HOST

PIECE = ROOM = 16 << 10  # of its sockets, so that who writes has to wait


class SlowPath:
    """Leads to `target` from a port of its own, with so many bytes a second each way."""

    def __init__(self, target, rate):
        self.target, self.rate = target, rate
        self.turns = {way: threading.Lock() for way in ("up", "down")}
        self.listener = self._socket()
        self.listener.bind((HOST, 0))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def _socket():
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        return made

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, far = self.listener.accept()[0], self._socket()
                far.connect((HOST, self.target))
                for way, source, sink in ("up", near, far), ("down", far, near):
                    threading.Thread(target=self._pass, args=(way, source, sink), daemon=True).start()

    def _pass(self, way, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                with self.turns[way]:
                    time.sleep(len(data) / self.rate)
                sink.sendall(data)
            return sink.shutdown(socket.SHUT_WR)
        for one in source, sink:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.listener.close()
