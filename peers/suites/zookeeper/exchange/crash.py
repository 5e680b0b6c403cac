"""Kills a ZooKeeper server again and again under load, and looks each time what it still knows.

    crash.py ROUNDS SEED FOLDER COMMAND...     COMMAND starts the server on FOLDER/data and the address in {address}

What was acknowledged is there; what was refused is not; numbers of sequential nodes never come twice; a live session is
taken up again with its ephemeral node, a closed one is not. Standard library only.
"""
import os
import random
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time

from exchange import CLOSE, CREATE, DELETE, MULTI, SET, Client, Reader, Refused, create, i32, text

N_CLIENTS = 6
DEPTH = 16


class Wrong(Exception):
    pass


class Server:
    def __init__(self, command, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % probe.getsockname()[1]
        self.command = [word.replace("{address}", self.address) for word in command]
        self.log = open(os.path.join(folder, "log"), "ab")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log)
        for line in self.process.stdout:
            if b"ready" in line:
                return
        raise Wrong("the server does not start, status %s" % self.process.wait())

    def kill(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.process = None


class Load:
    """One client that keeps some requests under way, and what it was told."""

    def __init__(self, number, known):
        self.number, self.known = number, known
        self.waiting = []

    def connect(self, address):
        self.client = Client(address)
        self.client.socket.setblocking(False)
        self.inbox, self.outbox, self.waiting = b"", b"", []

    def fill(self, rng):
        known, me = self.known, self.number
        while len(self.waiting) < DEPTH:
            kind = rng.randrange(10)
            if kind < 4:
                known.sent[me] += 1
                n = known.sent[me]
                self.put(SET, text("/counter-%d" % me) + b"\0\0\0\x08" + struct.pack(">q", n) + i32(-1), ("set", n))
            elif kind < 7:
                self.put(CREATE, create("/seq/n-", b"x" * rng.randrange(200), flags=2), ("sequential",))
            elif kind == 7 and known.names:
                path = known.names.pop(rng.randrange(len(known.names)))
                known.limbo.add(path)
                self.put(DELETE, text(path) + i32(-1), ("delete", path))
            elif kind == 8:
                self.put(SET, text("/counter-%d" % me) + b"\0\0\0\x08" + struct.pack(">q", -7) + i32(1 << 30), ("refused", -103))
            else:
                end, head = i32(-1) + b"\1" + i32(-1), lambda op: i32(op) + b"\0" + i32(-1)
                body = head(CREATE) + create("/seq/never-", b"", flags=2) + head(DELETE) + text("/none") + i32(-1) + end
                self.put(MULTI, body, ("refused", 0))

    def put(self, op, body, what):
        self.client.xid += 1
        payload = i32(self.client.xid) + i32(op) + body
        self.outbox += i32(len(payload)) + payload
        self.waiting.append((self.client.xid, what))

    def work(self):
        """Sends and receives what there is; False when the server is gone."""
        try:
            if self.outbox:
                self.outbox = self.outbox[self.client.socket.send(self.outbox):]
            piece = self.client.socket.recv(1 << 16)
            if not piece:
                return False
            self.inbox += piece
        except BlockingIOError:
            pass
        except OSError:
            return False
        while len(self.inbox) >= 4:
            size = struct.unpack_from(">i", self.inbox)[0] + 4
            if len(self.inbox) < size:
                break
            self.heard(Reader(self.inbox[4:size]))
            self.inbox = self.inbox[size:]
        return True

    def heard(self, answer):
        xid, what = self.waiting.pop(0)
        if answer.int() != xid:
            raise Wrong("replies out of order")
        answer.long()
        code, known = answer.int(), self.known
        known.answers += 1
        if what[0] == "refused":
            if code != what[1]:
                raise Wrong("%d where %d was due" % (code, what[1]))
        elif code != 0:
            raise Wrong("%r: code %d" % (what, code))
        elif what[0] == "set":
            known.acknowledged[self.number] = what[1]
        elif what[0] == "sequential":
            path = answer.text()
            number = int(path[-10:])
            if number in known.numbers:
                raise Wrong("%s was given before" % path)
            known.numbers.add(number)
            known.names.append(path)
        elif what[0] == "delete":
            known.limbo.discard(what[1])
            known.deleted.add(what[1])


class Known:
    """What clients were told, over all rounds."""

    def __init__(self):
        self.sent, self.acknowledged = [0] * N_CLIENTS, [0] * N_CLIENTS
        self.names, self.limbo, self.deleted, self.numbers = [], set(), set(), set()
        self.answers = 0
        self.closed = []

    def check(self, client):
        for me in range(N_CLIENTS):
            data = client.call(4, text("/counter-%d" % me) + b"\0").buf()
            value = struct.unpack(">q", data)[0]
            if not self.acknowledged[me] <= value <= self.sent[me]:
                raise Wrong("/counter-%d is %d, acknowledged was %d" % (me, value, self.acknowledged[me]))
        have = set("/seq/" + name for name in client.children("/seq"))
        lost = [path for path in self.names if path not in have]
        if lost:
            raise Wrong("%d acknowledged nodes are lost, like %s" % (len(lost), lost[0]))
        back = have & self.deleted
        if back:
            raise Wrong("%d deleted nodes are back, like %s" % (len(back), back.pop()))
        refused = [path for path in have if "never" in path]
        if refused:
            raise Wrong("%s is of a transaction that was refused" % refused[0])
        # Created, but nobody was told; deleted, or not.
        self.deleted |= self.limbo - have
        untold = have - set(self.names)
        for path in untold:
            if int(path[-10:]) in self.numbers and path not in self.limbo:
                raise Wrong("%s is there twice" % path)
            self.numbers.add(int(path[-10:]))
        self.names, self.limbo = sorted(have), set()


def one_round(server, known, rng, owner):
    server.start()
    session, password = owner
    try:
        client = Client(server.address, session, password)
    except Refused as error:
        raise Wrong("the live session: %s" % error)
    if client.node("/ephemeral")["stat"]["ephemeralOwner"] != session:
        raise Wrong("the ephemeral node has lost its owner")
    known.check(client)
    for closed in known.closed[-3:]:
        try:
            Client(server.address, *closed)
        except Refused:
            continue
        raise Wrong("a closed session is taken up")
    # A session that begins and ends.
    short = Client(server.address)
    short.create("/short-%x" % short.session, b"", flags=1)
    short.call(CLOSE)
    known.closed.append((short.session, short.password))
    client.call(4, text("/short-%x" % short.session) + b"\0", wanted=-101)
    loads = [Load(n, known) for n in range(N_CLIENTS)]
    poll = selectors.DefaultSelector()
    for load in loads:
        load.connect(server.address)
        poll.register(load.client.socket, selectors.EVENT_READ, load)
        load.fill(rng)
        load.work()
    end = time.monotonic() + rng.choice([0.002, 0.02, 0.1]) * (0.2 + rng.random())
    while time.monotonic() < end:
        for key, _ in poll.select(0.001):
            if not key.data.work():
                raise Wrong("the server hangs up, status %s" % server.process.poll())
            key.data.fill(rng)
            key.data.work()
    server.kill()
    # What was answered before the end still counts.
    for load in loads:
        while load.work() and load.waiting:
            pass
        load.client.socket.close()


def main(server, rounds, seed):
    rng, known = random.Random(seed), Known()
    server.start()
    client = Client(server.address)
    for me in range(N_CLIENTS):
        client.create("/counter-%d" % me, struct.pack(">q", 0))
    client.create("/seq", b"")
    client.create("/ephemeral", b"", flags=1)
    server.kill()
    for n in range(rounds):
        try:
            one_round(server, known, rng, (client.session, client.password))
        except (Wrong, Refused) as error:
            print("round %d of %d, seed %d: %s" % (n + 1, rounds, seed, error))
            return 1
    server.start()
    known.check(Client(server.address, client.session, client.password))
    server.kill()
    print("%d kills, %d answers, %d sequential numbers, none twice" % (rounds + 1, known.answers, len(known.numbers)))
    return 0


if __name__ == "__main__":
    ROUNDS, SEED, FOLDER = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    os.makedirs(FOLDER, exist_ok=True)
    SERVER = Server(sys.argv[4:], FOLDER)
    try:
        sys.exit(main(SERVER, ROUNDS, SEED))
    finally:
        SERVER.kill()
