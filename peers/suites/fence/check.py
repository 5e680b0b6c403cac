"""Runs the statements of the database guard on one database, with two connections that stand for two copies.

    check.py STATEMENTS.json sqlite FILE
    check.py STATEMENTS.json postgresql PORT
    check.py STATEMENTS.json mysql PORT

Prints `ok NAME` or `FAILED NAME: why` per check. A statement that should wait runs in a thread; that it waits is seen in what
the database itself tells of locks (PostgreSQL, MySQL) or in its refusal (SQLite).
"""

import json
import sys
import threading
import time

statements_file, kind, where = sys.argv[1:4]
with open(statements_file) as file:
    STATEMENTS = json.load(file)[kind]
KEY = "0f8e-writer-0"
DEADLINE = 30


class Database:
    """A connection with autocommit: transactions begin and end with statements."""

    def __init__(self):
        if kind == "sqlite":
            import sqlite3
            self.connection = sqlite3.connect(where, isolation_level=None, timeout=0.2, check_same_thread=False)
            self.locked = sqlite3.OperationalError
        elif kind == "postgresql":
            import pg8000.dbapi
            self.connection = pg8000.dbapi.connect("flowkeeper", host="127.0.0.1", port=int(where), database="flowkeeper")
            self.connection.autocommit = True
        else:
            import pymysql
            # Rows found or rows changed: drivers differ, the guard must work with both.
            from pymysql.constants import CLIENT
            Database.count = getattr(Database, "count", 0) + 1
            flag = CLIENT.FOUND_ROWS if Database.count % 2 else 0
            self.connection = pymysql.connect(host="127.0.0.1", port=int(where), user="root", database="flowkeeper",
                                              autocommit=True, client_flag=flag)
        self.cursor = self.connection.cursor()

    def run(self, text, parameters=()):
        mark = "?" if kind == "sqlite" else "%s"
        self.cursor.execute(text.replace("?", mark), list(parameters))
        return self.cursor

    def guard(self, name, term, key=KEY):
        statement = STATEMENTS[name]
        return self.run(statement["text"], [{"key": key, "term": term}[p] for p in statement["parameters"]])

    def claim(self, term, key=KEY):
        """Prepares and claims as one copy does at its start."""
        self.guard("prepare", term, key)
        return self.guard("claim", term, key).rowcount

    def check(self, term, key=KEY):
        return len(self.guard("check", term, key).fetchall())

    def write(self, text):
        self.run("INSERT INTO ledger (entry) VALUES (?)", [text])

    def entries(self):
        while True:
            try:
                return [row[0] for row in self.run("SELECT entry FROM ledger ORDER BY id").fetchall()]
            except Exception as error:  # SQLite, while another connection commits.
                if not is_transient(error):
                    raise


def equal(what, expected):
    if what != expected:
        raise AssertionError(f"{what!r} instead of {expected!r}")


def until(is_so, what):
    end = time.monotonic() + DEADLINE
    while not is_so():
        if time.monotonic() > end:
            raise AssertionError(f"{what} within {DEADLINE} s")
        # MySQL renews what it tells of locks only when nobody has asked for a tenth of a second.
        time.sleep(0.15)


def waiting():
    """How many statements wait for a lock."""
    if kind == "postgresql":
        return watcher.run("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]
    return watcher.run("SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'").fetchone()[0]


def a_copy_claims_again_what_it_has_and_an_older_one_changes_no_row():
    equal([one.claim(1), one.claim(1), two.claim(3), one.claim(2), one.claim(1), two.claim(3)], [1, 1, 1, 0, 0, 1])
    equal([one.check(1), one.check(2), two.check(3), two.check(4)], [0, 0, 1, 0])


def instances_do_not_touch_each_other():
    equal([one.claim(9, "other"), two.check(3), one.check(9, "other")], [1, 1, 1])
    equal([one.check(9, "OTHER")], [0])


def a_term_of_63_bits_is_kept():
    highest = 2 ** 63 - 1
    equal([one.claim(highest, "high"), one.check(highest, "high"), two.claim(highest - 1, "high")], [1, 1, 0])


def a_claim_waits_for_a_transaction_under_way_and_the_next_one_is_refused():
    one.claim(10)
    one.guard("begin", 10)
    equal(one.check(10), 1)
    one.write("older, in time")
    claimed = []
    if kind == "sqlite":
        try:
            two.guard("claim", 11)
            raise AssertionError("the claim went through a transaction under way")
        except two.locked as error:
            assert "locked" in str(error), error
    else:
        thread = threading.Thread(target=lambda: claimed.append(two.claim(11)))
        thread.start()
        until(lambda: waiting() > 0, "the claim waits for the lock")
        equal(claimed, [])
    one.run("COMMIT")
    if kind == "sqlite":
        claimed.append(two.claim(11))
    else:
        thread.join(DEADLINE)
    equal(claimed, [1])
    one.guard("begin", 10)
    equal(one.check(10), 0)
    one.run("ROLLBACK")
    equal(one.entries(), ["older, in time"])


def a_check_waits_for_a_claim_under_way_and_is_then_refused():
    one.claim(20)
    two.guard("begin", 21)
    two.claim(21)
    found = []

    def stale():
        one.guard("begin", 20)
        found.append(one.check(20))
        one.run("ROLLBACK")

    if kind == "sqlite":
        try:
            stale()
            raise AssertionError("the check went through a claim under way")
        except one.locked as error:
            assert "locked" in str(error), error
        two.run("COMMIT")
        stale()
    else:
        thread = threading.Thread(target=stale)
        thread.start()
        until(lambda: waiting() > 0, "the check waits for the claim")
        equal(found, [])
        two.run("COMMIT")
        thread.join(DEADLINE)
    equal(found, [0])


def a_thousand_racing_writes_never_follow_a_newer_claim():
    """Copies 101 to 105 claim one after the other while all older ones go on writing; the ledger must never go back."""
    one.run("DELETE FROM ledger")
    problems, copies = [], []

    def copy(term):
        try:
            own = Database()
            while True:
                try:
                    if own.claim(term) != 1:
                        return
                    break
                except Exception as error:  # SQLite and deadlocks: again.
                    if not is_transient(error):
                        raise
            for _ in range(200):
                try:
                    own.guard("begin", term)
                    if own.check(term) != 1:
                        own.run("ROLLBACK")
                        return
                    own.write(str(term))
                    own.run("COMMIT")
                except Exception as error:
                    if not is_transient(error):
                        raise
                    try:
                        own.run("ROLLBACK")
                    except Exception:
                        pass
        except Exception as error:
            problems.append(f"copy {term}: {error!r}")

    for term in range(101, 106):
        thread = threading.Thread(target=copy, args=(term,))
        thread.start()
        copies.append(thread)
        # Each gets some writes done before the next one claims.
        until(lambda: str(term) in watcher.entries() or not thread.is_alive(), f"copy {term} writes")
    for thread in copies:
        thread.join(DEADLINE)
    equal(problems, [])
    written = [int(entry) for entry in watcher.entries()]
    equal(written, sorted(written))
    equal(sorted(set(written)), [101, 102, 103, 104, 105])


def is_transient(error):
    text = str(error).lower()
    return "locked" in text or "deadlock" in text or "40001" in text or "40p01" in text or "1020" in text


one = Database()
one.guard("create", 0)
one.guard("create", 0)
serial = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "SERIAL PRIMARY KEY",
          "mysql": "BIGINT PRIMARY KEY AUTO_INCREMENT"}[kind]
one.run(f"CREATE TABLE ledger (id {serial}, entry VARCHAR(40))")
two, watcher = Database(), Database()
for check in [a_copy_claims_again_what_it_has_and_an_older_one_changes_no_row, instances_do_not_touch_each_other,
              a_term_of_63_bits_is_kept, a_claim_waits_for_a_transaction_under_way_and_the_next_one_is_refused,
              a_check_waits_for_a_claim_under_way_and_is_then_refused, a_thousand_racing_writes_never_follow_a_newer_claim]:
    try:
        check()
        print(f"ok {kind}: {check.__name__}", flush=True)
    except Exception as error:
        print(f"FAILED {kind}: {check.__name__}: {error!r}", flush=True)
