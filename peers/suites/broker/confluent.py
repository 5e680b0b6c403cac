"""Judges a broker with confluent-kafka (librdkafka): confluent.py STEP BOOTSTRAP [ARGUMENT...]

Each step prints a line per test, `ok NAME` or `FAILED NAME: REASON`. JavaClient.java has the same steps; the records are
the same, so each client reads what the others wrote. Steps, in the order in which check-broker runs them:

  admin              create, describe, create again, delete
  produce            a topic per codec, `confluent-CODEC`, with RECORDS records
  read WRITER        the topics that WRITER wrote
  group              a group of two, the second one joining late
  commit             half a topic is read and committed
  resume N           after restart N: the commit stands, exactly the rest is delivered
"""
import sys
import time
import traceback

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
RECORDS = 300
PATIENCE = 60
ME = "confluent"
BOOTSTRAP = ""


def test(name, body):
    try:
        body()
        print("ok", ME, name, flush=True)
    except Exception as error:  # whatever went wrong is the test's result
        where = traceback.extract_tb(error.__traceback__)[-1].lineno
        print(f"FAILED {ME} {name}: {type(error).__name__} in line {where}: {error}", flush=True)


def expect(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}: found {found!r}, expected {wanted!r}")


def await_(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {PATIENCE} s")
        time.sleep(0.05)


def key(i):
    return f"key-{i}".encode()


def value(i):
    return f"value-{i} ".encode() + b"x" * (i % 50 * 20)


def admin_client():
    return AdminClient({"bootstrap.servers": BOOTSTRAP})


def create(topic, partitions):
    """Creates a topic and waits until it can be used."""
    admin = admin_client()
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(PATIENCE)
    await_(lambda: is_served(admin, topic, partitions), f"{topic} has leaders")


def is_served(admin, topic, partitions):
    found = admin.list_topics(topic, timeout=10).topics[topic]
    return found.error is None and len(found.partitions) == partitions and all(
        p.leader >= 0 for p in found.partitions.values())


def write(topic, first, last, codec, partition):
    """Writes records `first` to `last` and waits until each is acknowledged."""
    lost = []
    producer = Producer({
        "bootstrap.servers": BOOTSTRAP,
        "compression.type": codec,
        "enable.idempotence": True,
        "linger.ms": 20,
        "message.timeout.ms": PATIENCE * 1000,
    })
    for i in range(first, last):
        producer.produce(topic, value=value(i), key=key(i), partition=partition,
                         headers=[("writer", ME.encode()), ("empty", b"")],
                         on_delivery=lambda error, message: error and lost.append(error))
        producer.poll(0)
    expect(producer.flush(PATIENCE), 0, "records not acknowledged")
    expect(lost, [], "records refused")


def consumer(group, **more):
    return Consumer({
        "bootstrap.servers": BOOTSTRAP,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 10000,
        "heartbeat.interval.ms": 1000,
        **more,
    })


def poll(reader):
    """The records that are there, at most a hundred."""
    found = []
    for message in reader.consume(100, 0.1):
        if message.error() is None:
            found.append(message)
        elif message.error().code() not in (KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART):
            raise KafkaException(message.error())
    return found


def check_records(topic, writer):
    """Every record of `topic` once, in order, as `writer` wrote it, and nothing behind them."""
    reader = consumer(f"unused-{time.time_ns()}")
    try:
        low, high = reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE)
        expect((low, high), (0, RECORDS), "offsets of the log")
        reader.assign([TopicPartition(topic, 0, 0)])
        found = []
        await_(lambda: collect(reader, found) and len(found) >= RECORDS, f"{RECORDS} records")
        for i, message in enumerate(found):
            expect(message.offset(), i, "offset")
            expect(message.key(), key(i), "key")
            expect(message.value(), value(i), "value")
            expect(dict(message.headers() or []).get("writer"), writer.encode(), "header")
    finally:
        reader.close()


def collect(reader, found):
    found.extend(poll(reader))
    return True


def step_admin():
    admin = admin_client()
    topic = f"{ME}-admin"

    def describes():
        create(topic, 3)
        found = admin.list_topics(topic, timeout=PATIENCE).topics[topic]
        expect(sorted(found.partitions), [0, 1, 2], "partitions")

    def refuses():
        try:
            admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(PATIENCE)
        except KafkaException as error:
            expect(error.args[0].code(), KafkaError.TOPIC_ALREADY_EXISTS, "error of a second create")
        else:
            raise AssertionError("a topic was created twice")

    def deletes():
        admin.delete_topics([topic])[topic].result(PATIENCE)
        await_(lambda: topic not in admin.list_topics(timeout=PATIENCE).topics, "the topic is gone")
        try:
            admin.delete_topics([topic])[topic].result(PATIENCE)
        except KafkaException as error:
            expect(error.args[0].code(), KafkaError.UNKNOWN_TOPIC_OR_PART, "error of a second delete")
        else:
            raise AssertionError("a topic was deleted twice")

    test("creates and describes a topic", describes)
    test("is refused a second topic of the same name", refuses)
    test("deletes a topic", deletes)


def step_produce():
    for codec in CODECS:
        def produces(codec=codec):
            create(f"{ME}-{codec}", 1)
            write(f"{ME}-{codec}", 0, RECORDS, codec, 0)

        test(f"produces with {codec}", produces)


def step_read(writer):
    for codec in CODECS:
        test(f"reads what {writer} wrote with {codec}", lambda codec=codec: check_records(f"{writer}-{codec}", writer))


def step_group():
    topic, group = f"{ME}-group", f"{ME}-group"

    def shares():
        create(topic, 4)
        first, second = consumer(group), consumer(group)
        readers = [first]
        found = []

        def owned(reader):
            return {p.partition for p in reader.assignment()}

        def turn():
            for reader in readers:
                found.extend((reader, message) for message in poll(reader))
            return True

        try:
            first.subscribe([topic])
            await_(lambda: turn() and owned(first) == {0, 1, 2, 3}, "the first member has all partitions")
            second.subscribe([topic])
            readers.append(second)
            await_(lambda: turn() and len(owned(first)) == 2 and len(owned(second)) == 2
                   and owned(first) | owned(second) == {0, 1, 2, 3}, "two partitions for each member")
            for partition in range(4):
                write(topic, partition * 50, partition * 50 + 50, "none", partition)
            await_(lambda: turn() and len(found) >= 200, "200 records")
            expect(sorted(m.key() for _, m in found), sorted(key(i) for i in range(200)), "records of both")
            for reader, message in found:
                if message.partition() not in owned(reader):
                    raise AssertionError(f"a member got partition {message.partition()}, which is not its own")
            first.commit(asynchronous=False)
            second.commit(asynchronous=False)
            readers.remove(second)
            second.close()
            await_(lambda: turn() and owned(first) == {0, 1, 2, 3}, "the first member has all partitions again")
            write(topic, 200, 240, "none", 3)
            await_(lambda: turn() and len(found) >= 240, "40 more records")
            expect(sorted(m.key() for _, m in found), sorted(key(i) for i in range(240)), "records after the leave")
        finally:
            first.close()

    test("shares a topic in a group with a late joiner", shares)


def committed(reader, topic):
    return [p.offset for p in reader.committed([TopicPartition(topic, p) for p in (0, 1)], timeout=PATIENCE)]


def step_commit():
    topic, group = f"{ME}-commit", f"{ME}-commit"

    def commits():
        create(topic, 2)
        write(topic, 0, 50, "lz4", 0)
        write(topic, 50, 100, "lz4", 1)
        reader = consumer(group)
        try:
            reader.subscribe([topic])
            found = []
            await_(lambda: collect(reader, found) and len(found) >= 100, "100 records")
            reader.commit(offsets=[TopicPartition(topic, 0, 30), TopicPartition(topic, 1, 20)], asynchronous=False)
            expect(committed(reader, topic), [30, 20], "committed offsets")
        finally:
            reader.close()

    test("commits offsets", commits)


def step_resume(number):
    topic, group = f"{ME}-commit", f"{ME}-commit"
    n = int(number)
    # Each restart adds ten records to each partition and moves both commits to the end but five.
    ends = [50 + 10 * (n - 1), 50 + 10 * (n - 1)]
    wanted = [30, 20] if n == 1 else [end - 5 for end in ends]

    def resumes():
        reader = consumer(group)
        try:
            expect(committed(reader, topic), wanted, "committed offsets")
            reader.subscribe([topic])
            found = []
            rest = sum(ends) - sum(wanted)
            await_(lambda: collect(reader, found) and len(found) >= rest, f"{rest} records")
            for partition in (0, 1):
                offsets = [m.offset() for m in found if m.partition() == partition]
                expect(offsets, list(range(wanted[partition], ends[partition])), f"offsets of partition {partition}")
            write(topic, 1000, 1010, "none", 0)
            write(topic, 1000, 1010, "none", 1)
            await_(lambda: collect(reader, found) and len(found) >= rest + 20, "20 new records")
            after = [TopicPartition(topic, p, ends[p] + 5) for p in (0, 1)]
            reader.commit(offsets=after, asynchronous=False)
        finally:
            reader.close()

    test(f"resumes after restart {n} where it had committed", resumes)


if __name__ == "__main__":
    BOOTSTRAP = sys.argv[2]
    globals()["step_" + sys.argv[1]](*sys.argv[3:])
