"""Makes a tree on a ZooKeeper server, writes down all that can be seen of it, and checks that another server
shows the same. It speaks the protocol itself, so that nothing is hidden. Standard library only.

    exchange.py populate ADDRESS STATE     makes the tree; the session is left alive and written to STATE
    exchange.py change ADDRESS STATE       some more of everything, by the same session
    exchange.py record ADDRESS FILE        writes down every node
    exchange.py compare ADDRESS FILE [-config]   all of it again; -config: what an ensemble writes itself is left out
    exchange.py resume ADDRESS STATE       takes the session up again and goes on with the sequence
"""
import base64
import json
import socket
import struct
import sys

CREATE, DELETE, GET, SET, GET_ACL, SET_ACL, CHILDREN, SYNC = 1, 2, 4, 5, 6, 7, 8, 9
MULTI, CREATE2, CONTAINER, TTL, AUTH, CLOSE = 14, 15, 19, 21, 100, -11
OPEN = [(31, "world", "anyone")]
FIELDS = ("czxid", "mzxid", "ctime", "mtime", "version", "cversion", "aversion", "ephemeralOwner", "dataLength",
          "numChildren", "pzxid")


def i32(n): return struct.pack(">i", n)
def i64(n): return struct.pack(">q", n)
def buf(b): return i32(-1) if b is None else i32(len(b)) + b
def text(s): return buf(s.encode())
def acls(a): return i32(len(a)) + b"".join(i32(p) + text(s) + text(i) for p, s, i in a)
def create(path, data, flags=0, acl=OPEN): return text(path) + buf(data) + acls(acl) + i32(flags)


class Reader:
    def __init__(self, data): self.data, self.at = data, 0

    def take(self, form):
        value, = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def int(self): return self.take(">i")
    def long(self): return self.take(">q")

    def buf(self):
        n = self.int()
        if n < 0:
            return None
        self.at += n
        return self.data[self.at - n:self.at]

    def text(self): return self.buf().decode()
    def stat(self): return dict(zip(FIELDS, struct.unpack_from(">qqqqiiiqiiq", self.data, self.at)))


class Refused(Exception):
    pass


class Client:
    def __init__(self, address, session=0, password=b"\0" * 16, auth="owner:secret"):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), 20)
        self.xid = 0
        self.send(i32(0) + i64(0) + i32(20000) + i64(session) + buf(password) + b"\0")
        answer = Reader(self.frame())
        answer.int()
        self.timeout, self.session, self.password = answer.int(), answer.long(), answer.buf()
        if self.timeout == 0:
            raise Refused("the session is not taken up")
        self.call(AUTH, i32(0) + text("digest") + text(auth))

    def send(self, payload): self.socket.sendall(i32(len(payload)) + payload)

    def read(self, n):
        data = b""
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise Refused("the server hangs up")
            data += piece
        return data

    def frame(self): return self.read(struct.unpack(">i", self.read(4))[0])

    def call(self, op, body=b"", wanted=0):
        self.xid += 1
        xid = -4 if op == AUTH else self.xid
        self.send(i32(xid) + i32(op) + body)
        answer = Reader(self.frame())
        assert answer.int() == xid
        answer.long()
        code = answer.int()
        if code != wanted:
            raise Refused("operation %d: %d instead of %d" % (op, code, wanted))
        return answer

    def create(self, *args, op=CREATE, extra=b"", **more):
        return self.call(op, create(*args, **more) + extra).text()

    def node(self, path):
        answer = self.call(GET, text(path) + b"\0")
        data = answer.buf()
        stat = answer.stat()
        answer = self.call(GET_ACL, text(path))
        acl = [(answer.int(), answer.text(), answer.text()) for _ in range(answer.int())]
        return {"data": None if data is None else base64.b64encode(data).decode(), "stat": stat, "acl": sorted(acl)}

    def children(self, path):
        answer = self.call(CHILDREN, text(path) + b"\0")
        return sorted(answer.text() for _ in range(answer.int()))

    def tree(self, path="/"):
        nodes = {path: self.node(path)}
        for name in self.children(path):
            nodes.update(self.tree(path.rstrip("/") + "/" + name))
        return nodes


def populate(address, state):
    c = Client(address)
    for n in range(20):
        c.create("/n%d" % n, b"data %d" % n)
        for m in range(n):
            c.create("/n%d/c%d" % (n, m), bytes([n, m, 0xff]))
    c.create("/null", None)
    c.create("/empty", b"")
    c.create("/\u00fcn\u00efc\u00f6d\u00e9", b"\xff\xfe")
    c.create("/big", b"x" * 900_000)
    c.create("/seq", b"")
    for n in range(7):
        c.create("/seq/s-", b"", flags=2)
    for n in (2, 6):
        c.call(DELETE, text("/seq/s-%010d" % n) + i32(-1))
    for n in range(5):
        c.call(SET, text("/n3") + buf(b"again %d" % n) + i32(n))
    c.create("/mine", b"", acl=[(31, "auth", "")])
    c.create("/many", b"", acl=[(1, "world", "anyone"), (31, "auth", ""), (4, "ip", "127.0.0.0/8")])
    c.call(SET_ACL, text("/n5") + acls([(31, "auth", ""), (1, "world", "anyone")]) + i32(0))
    c.create("/ephemeral", b"alive", flags=1)
    c.create("/seq/e-", b"", flags=3)
    c.create("/container", b"", flags=4, op=CONTAINER)
    c.create("/container/child", b"")
    c.create("/ttl", b"", flags=5, op=TTL, extra=i64(1 << 39))
    c.create("/zookeeper/quota/n9", b"")
    c.create("/zookeeper/quota/n9/zookeeper_limits", b"count=100,bytes=100000")
    c.create("/zookeeper/quota/n9/zookeeper_stats", b"count=0,bytes=0")
    c.create("/n9/counted", b"12345")
    c.call(DELETE, text("/n9/c0") + i32(-1))
    end = i32(-1) + b"\1" + i32(-1)
    head = lambda op: i32(op) + b"\0" + i32(-1)
    c.call(MULTI, head(CREATE) + create("/multi", b"") + head(CREATE) + create("/multi/child", b"") + end)
    c.call(MULTI, head(CREATE) + create("/multi/no", b"") + head(DELETE) + text("/none") + i32(-1) + end)
    c.call(CREATE, create("/n0", b""), wanted=-110)
    # A session that ends, with its node.
    other = Client(address)
    other.create("/gone", b"", flags=1)
    other.call(CLOSE)
    json.dump({"session": c.session, "password": c.password.hex(), "next": 8}, open(state, "w"))


def change(address, state):
    known = json.load(open(state))
    c = Client(address, known["session"], bytes.fromhex(known["password"]))
    for n in range(50):
        c.create("/late-%d" % n, b"late")
    c.create("/late-0/child", None)
    c.call(DELETE, text("/late-7") + i32(0))
    c.call(SET, text("/n4") + buf(None) + i32(0))
    c.call(SET_ACL, text("/n6") + acls([(1, "world", "anyone")]) + i32(0))
    c.create("/ephemeral-2", b"", flags=1)
    other = Client(address)
    other.create("/gone-2", b"", flags=1)
    other.call(CLOSE)


def compare(address, file, without_config):
    want, have = json.load(open(file)), Client(address).tree()
    have = json.loads(json.dumps(have))
    wrong = 0
    for path in sorted(set(want) | set(have)):
        if without_config and path == "/zookeeper/config":
            continue
        if want.get(path) != have.get(path):
            wrong += 1
            print("differs: %s\n  was %s\n  is  %s" % (path, want.get(path), have.get(path)))
    print("%d nodes compared, %d differ" % (len(want), wrong))
    return wrong == 0


def resume(address, state):
    known = json.load(open(state))
    c = Client(address, known["session"], bytes.fromhex(known["password"]))
    assert c.session == known["session"], "another session"
    stat = c.node("/ephemeral")["stat"]
    assert stat["ephemeralOwner"] == c.session, "the node has another owner: %r" % stat
    path = c.create("/seq/s-", b"", flags=2)
    assert path == "/seq/s-%010d" % known["next"], "the sequence goes on with %s" % path
    c.call(CLOSE)
    other = Client(address)
    other.call(GET, text("/ephemeral") + b"\0", wanted=-101)
    print("session 0x%x was taken up, went on with %s, and ended with its nodes" % (c.session, path))
    return True


def main():
    verb, address, file = sys.argv[1:4]
    if verb == "populate":
        populate(address, file)
    elif verb == "change":
        change(address, file)
    elif verb == "record":
        json.dump(Client(address).tree(), open(file, "w"))
    elif verb == "compare":
        return compare(address, file, "-config" in sys.argv)
    elif verb == "resume":
        return resume(address, file)
    return True


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
