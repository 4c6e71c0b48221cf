#!/usr/bin/env python3
"""A worker in Python. It needs of prefork what systemd gives too: a listening socket on descriptor
3, and a socket to say READY=1 on. Nothing but the standard library.

  prefork run -w 2 --ready notify -- ./worker.py
"""
import os
import select
import signal
import socket
import sys


def take_listener():
    """The first socket passed on: sd_listen_fds(3). The variables may be a parent's: hence the pid."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or int(os.environ.get("LISTEN_FDS", 0)) < 1:
        sys.exit("no socket was passed; try: prefork run -- ./worker.py")
    return socket.socket(fileno=3)


def notify(text):
    """sd_notify(3): one datagram; a name that begins with @ is an abstract one."""
    name = os.environ.get("NOTIFY_SOCKET")
    if name:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
            there.sendto(text.encode(), "\0" + name[1:] if name[0] == "@" else name)


def answer(client):
    client.settimeout(10)
    request = b""
    while b"\r\n\r\n" not in request:
        part = client.recv(8192)
        if not part or len(request) > 8192:
            return  # gone, or too much
        request += part
    body = f"process {os.getpid()}, in Python\n".encode()
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                   % (len(body), body))


listener = take_listener()
listener.setblocking(False)
# TERM comes through a descriptor: never in the middle of a request, never unseen.
told, wakeup = socket.socketpair()
wakeup.setblocking(False)
signal.set_wakeup_fd(wakeup.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)

notify("READY=1\nSTATUS=serving, in Python")
while told not in (readable := select.select([told, listener], [], [])[0]):
    try:
        client, _ = listener.accept()
    except BlockingIOError:
        continue  # all workers wake for one connection; we came late
    with client:
        try:
            answer(client)
        except OSError as error:
            print(error, file=sys.stderr)
# What is queued stays in the socket, for the others.
notify("STOPPING=1\nSTATUS=leaving")
