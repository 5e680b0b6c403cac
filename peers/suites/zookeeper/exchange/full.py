"""Fills the disk under a ZooKeeper server and makes room again.

    full.py FOLDER COMMAND...     FOLDER is a small file system of its own; COMMAND as in crash.py

Writes are refused with a code, reads go on, nothing acknowledged is lost although the server is killed meanwhile, and
writes are taken again as soon as there is room. Standard library only.
"""
import os
import sys
import time

from crash import Server, Wrong
from exchange import CREATE, Client, Refused, create, text

SYSTEM_ERROR = -1


def fill(path):
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(file, b"x" * 4096)
    except OSError:
        os.close(file)


def write(client, n):
    """True if taken, False if refused as it should be."""
    client.xid += 1
    payload = create("/n%d" % n, b"y" * 50000)
    try:
        client.call(CREATE, payload)
        return True
    except Refused as error:
        if "operation %d: %d " % (CREATE, SYSTEM_ERROR) not in str(error):
            raise Wrong(str(error))
        return False


def main(server, folder):
    filler = os.path.join(folder, "filler")
    server.start()
    client = Client(server.address)
    taken, n = [], 0
    fill(filler)
    while write(client, n):
        taken.append(n)
        n += 1
        if n > 10000:
            raise Wrong("the disk is never full")
    refused = n
    for known in taken:
        client.call(4, text("/n%d" % known) + b"\0")
    client.call(4, text("/n%d" % refused) + b"\0", wanted=-101)
    # It starts on a full disk, too.
    server.kill()
    server.start()
    client = Client(server.address, client.session, client.password)
    for known in taken:
        client.call(4, text("/n%d" % known) + b"\0")
    client.call(4, text("/n%d" % refused) + b"\0", wanted=-101)
    os.remove(filler)
    end = time.monotonic() + 20
    while not write(client, refused):
        if time.monotonic() > end:
            raise Wrong("there is room, and nobody notices")
    server.kill()
    server.start()
    client = Client(server.address, client.session, client.password)
    for known in taken + [refused]:
        client.call(4, text("/n%d" % known) + b"\0")
    server.kill()
    print("%d writes were taken before the disk was full, and one after it" % len(taken))
    return 0


if __name__ == "__main__":
    SERVER = Server(sys.argv[2:], "/tmp")
    try:
        sys.exit(main(SERVER, sys.argv[1]))
    except (Wrong, Refused) as error:
        print(error)
        sys.exit(1)
    finally:
        SERVER.kill()
