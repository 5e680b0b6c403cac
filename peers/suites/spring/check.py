"""Judges Flowkeeper with real Spring Cloud Stream applications: check.py --flowkeeper PROGRAM --jars DIR --work DIR
[--bootstrap HOST:PORT] [NAME...]

Without --bootstrap the apps speak to the embedded broker under `flowkeeper dev`, else to that broker under the roles
zookeeper, server and agent. Each check prints `ok NAME` or `FAILED NAME: REASON`:

  flow         ticker | upper | log, all three Java, and a tap of it through bundled apps: in order, without loss
  runtime      what is told of Java apps: addresses, actuator, logs
  reasons      what is told of Java apps that do not get healthy
  partitions   bundled producer to Java consumers, Java producer to bundled ones: a key goes where Java's hash says, also
               after a consumer was killed
  changes      update, an update that cannot work, scale, rollback, undeploy and deploy while messages flow: none lost
"""
import argparse
import os
import pathlib
import re
import signal
import sys
import time
import traceback

from product import Producer, Product, free_port, post, wait

JAVA = {"deployer.*.memory": "160m", "deployer.*.local.javaOpts": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"}
FAILED = []


def check(name, body, product):
    began = time.monotonic()
    try:
        body(product)
        print(f"ok {name} ({time.monotonic() - began:.0f} s)", flush=True)
    except Exception as error:  # whatever went wrong is the result
        where = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(where) if frame.filename == __file__), 0)
        print(f"FAILED {name}: {type(error).__name__} in line {line}: {error}", flush=True)
        FAILED.append(name)


def expect(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}: found {str(found)[-1500:]!r}, expected {str(wanted)[-1500:]!r}")


def destroy(product, *names):
    for name in names:
        product.ask("DELETE", f"/streams/definitions/{name}", 200)
    wait("all apps are gone", product.pids, lambda pids: not pids)


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def payloads(output, logger="log-sink"):
    """What the Java sink logged: the text behind the name of its logger."""
    # 2026-11-26T11:11:20.187Z  INFO 10439 --- [log-sink] [container-0-C-1] log-sink                : TEXT
    found = (re.search(rf"\] {re.escape(logger)} +: (.*)$", line) for line in output)
    return [match.group(1) for match in found if match]


def flow(product):
    """Java source, processor and sink; a tap behind the source shows what was sent."""
    tap = product.work / "tap.txt"
    product.create("java", "ticker --prefix=tick- --fixed-delay=100 --time-unit=MILLISECONDS --initial-delay=3000 "
                           "| upper --suffix=? | slog")
    # `log.` is spelled out: a short name could also be one of Boot's.
    product.create("tap", f":java.ticker > transform --expression=payload+'-t' | file --directory={tap.parent} "
                          f"--name={tap.name}")
    product.deploy("tap", {})
    product.deploy("java", JAVA)
    for name in ("tap", "java"):
        product.until(name, "deployed")
    seen = wait("fifty messages are logged", lambda: payloads(product.output("java", "slog")), lambda m: len(m) >= 50)
    sent = wait("the tap has them too", lambda: lines(tap), lambda sent: len(sent) >= len(seen))
    wanted = [text.removesuffix("-t").upper() + "?" for text in sent]
    expect(seen, wanted[: len(seen)], "what the Java sink logged, in order")
    expect(len(set(seen)), len(seen), "messages without those that came twice")
    assert all(re.fullmatch(r"TICK-[0-9T:.-]+\?", text) for text in seen), seen[:3]


def runtime(product):
    """Needs the streams of `flow`."""
    for label in ("ticker", "upper", "slog"):
        (attributes,) = product.instances("java", label).values()
        expect(attributes["state"], "deployed", label)
        expect(attributes["guid"], f"java.{label}-v1-0", "guid")
        expect(attributes["url"], f"http://127.0.0.1:{attributes['port']}", "url")
        instance = f"/runtime/apps/java.{label}-v1/instances/java.{label}-v1-0"
        health = product.ask("GET", f"{instance}/actuator?endpoint=health", 200)
        assert '"UP"' in str(health).replace("'", '"'), health
    bindings = str(product.ask("GET", "/runtime/apps/java.upper-v1/instances/java.upper-v1-0/actuator?endpoint=bindings", 200))
    assert "java.ticker" in bindings and "java.upper" in bindings, bindings
    logs = product.ask("GET", "/streams/logs/java/java.slog-v1", 200)["logs"]["java.slog-v1"]
    assert "Started LogApplication" in logs and "TICK-" in logs, logs[-500:]
    destroy(product, "tap", "java")


def reasons(product):
    """An app whose broker is not there, and one whose Java is not."""
    cases = {
        "nobroker": ({"app.slog.spring.cloud.stream.kafka.binder.brokers": "127.0.0.1:1"}, "deploying",
                     r"it does not listen on port \d+ yet; it last complained: .*127\.0\.0\.1:1.*"),
        "nojava": ({"deployer.slog.local.javaHomePath.3": "/none"}, "failed",
                   r"/none/bin/java is no program on this node; correct deployer\.slog\.local\.javaHomePath\.3 .*"),
    }
    for name, (properties, _, _) in cases.items():
        product.create(name, ":nothing > slog")
        product.deploy(name, {**JAVA, **properties, "deployer.*.local.shutdownTimeout": "2"})
    for name, (_, status, reason) in cases.items():
        told = lambda: product.ask("GET", f"/api/v1/streams/{name}", 200)["apps"][0]["instances"][0]["reason"]
        wait(f"the reason of {name} is told", told, lambda told: re.fullmatch(reason, told or ""))
        expect(product.status(name), status, f"status of {name}")
    destroy(product, *cases)


def java_hash(text):
    """`String.hashCode()` of a text within the basic plane."""
    number = 0
    for c in text:
        number = (31 * number + ord(c)) & 0xFFFFFFFF
    return number - (1 << 32) if number >= 1 << 31 else number


def partition(key, count):
    return abs(java_hash(key)) % count


def partitions(product):
    """Two of each: the index of the Java processor is in its suffix, that of the bundled sink is known by its log."""
    port = free_port()
    # Instances take the partitions of their index, not those that the broker gives out.
    fixed = "spring.cloud.stream.kafka.bindings.input.consumer.autoRebalanceEnabled"
    product.create("keys", f"http --server.port={port} | upper | log")
    product.deploy("keys", {
        **JAVA,
        "app.http.producer.partition-key-expression": "payload.substring(0,4)",
        "app.upper.upper.suffix": ":${spring.cloud.stream.instanceIndex}",
        "app.upper.producer.partitionKeyExpression": "payload.substring(0,4)",
        f"app.upper.{fixed}": "false",
        f"app.log.{fixed}": "false",
        "deployer.upper.count": "2",
        "deployer.log.count": "2",
    })
    product.until("keys", "deployed")
    keys = [f"k{number:03}" for number in range(20)]
    sent = []

    def send(turns):
        """Sends each key once per turn and gives who handled them: the Java processor and the bundled sink of each text."""
        texts = [f"{key}-{turn}" for turn in turns for key in keys]
        assert all(post(port, text) for text in texts), "a message was not accepted"
        sent.extend(texts)

        def found():
            pattern = re.compile(r"(K\d{3}-\d):(\d)$")
            both = [(index, pattern.search(line)) for index in (0, 1) for line in product.output("keys", "log", index)]
            return [(match.group(1), (int(match.group(2)), index)) for index, match in both if match]

        seen = wait("all messages are logged", found, lambda seen: {text.upper() for text in sent} <= {t for t, _ in seen})
        wanted = {text.upper(): (partition(text[:4], 2), partition(text[:4].upper(), 2)) for text in sent}
        expect(set(seen), set(wanted.items()), "instances by text")
        return seen

    seen = send(range(3))
    expect(len(seen), len(sent), "number of messages")
    for what, which in (("Java", 0), ("bundled", 1)):
        expect({handled[which] for _, handled in seen}, {0, 1}, f"{what} instances that had work")
    for label in ("upper", "log"):
        pid = int(product.instances("keys", label)[1]["pid"])
        os.kill(pid, signal.SIGKILL)
        wait(f"{label}-1 runs again", lambda: product.instances("keys", label)[1],
             lambda found: found["state"] == "deployed" and int(found["pid"]) != pid)
    send(range(3, 5))
    product.create("read", ":keys.http > slog")
    product.deploy("read", {
        **JAVA,
        "app.slog.consumer.partitioned": "true",
        f"app.slog.{fixed}": "false",
        "deployer.slog.count": "2",
    })
    product.until("read", "deployed")
    for index in (0, 1):
        mine = [text for text in sent if partition(text[:4], 2) == index]
        seen = wait(f"instance {index} has its messages", lambda: payloads(product.output("read", "slog", index)),
                    lambda seen: len(seen) >= len(mine))
        expect(seen, mine, f"what Java instance {index} of a tap read, in order")
    destroy(product, "read", "keys")


def changes(product):
    """Numbers flow all the time; whatever is changed, each number that was accepted arrives."""
    port, out = free_port(), product.work / "changes.txt"
    product.create("live", f"http --server.port={port} | upper | file --directory={out.parent} --name={out.name}")
    product.deploy("live", JAVA)
    product.until("live", "deployed")
    producer = Producer(port, lambda number: f"m{number}", 0.05)

    def arrived():
        """Numbers and suffixes in the order in which they came."""
        found = (re.fullmatch(r"M(\d+)(.*)", line) for line in lines(out))
        return [(int(match.group(1)), match.group(2)) for match in found if match]

    def settled(what, suffix):
        """Waits until messages come with `suffix`, and no others any more."""
        product.until("live", "deployed")
        # What is replaced may have some left to do.
        wait(f"the last messages are new ones {what}", arrived, lambda seen: {s for _, s in seen[-5:]} == {suffix})
        mark = producer.accepted
        seen = wait(f"messages flow {what}", arrived, lambda seen: any(n > mark + 5 for n, _ in seen))
        expect({s for n, s in seen if n > mark}, {suffix}, f"suffixes {what}")
        print(f"   ({what}: {mark} messages)", flush=True)

    def released(wanted):
        """Waits until the newest release is what is wanted; the one that runs is then the newest that is deployed."""
        seen = lambda: sorted(product.releases("live").items(), reverse=True)
        wait(f"the newest release is {wanted}", seen, lambda seen: seen[0][1] == wanted)

    try:
        settled("at first", "")
        product.update("live", {"app.upper.upper.suffix": "!"})
        released("DEPLOYED")
        settled("after an update", "!")
        product.update("live", {"deployer.upper.local.javaOpts": "-XX:NoSuchOption"})
        released("FAILED")
        settled("after an update that failed", "!")
        product.ask("POST", "/streams/deployments/scale/live/upper/instances/2", 201, {})
        wait("there are two instances", lambda: sorted(product.instances("live", "upper")), lambda found: found == [0, 1])
        settled("with two instances", "!")
        product.ask("POST", "/streams/deployments/rollback/live/1", 201)
        released("DEPLOYED")
        settled("after a rollback", "")
        expect(producer.refused, 0, "messages refused by a source that no change was about")
        product.ask("DELETE", "/streams/deployments/live", 200)
        product.until("live", "undeployed")
        wait("all apps are gone", product.pids, lambda pids: not pids)
        product.deploy("live", JAVA)
        settled("after an undeployment", "")
    finally:
        accepted = producer.stop()
    wanted = set(range(accepted))
    seen = wait("every accepted message has arrived", arrived, lambda seen: wanted <= {n for n, _ in seen}, 60)
    first = list(dict.fromkeys(n for n, _ in seen))
    expect(first, sorted(first), "first arrivals in order")
    print(f"   ({accepted} messages accepted, none lost, {len(seen) - len(first)} came twice)", flush=True)
    destroy(product, "live")


CHECKS = {"flow": flow, "runtime": runtime, "reasons": reasons, "partitions": partitions, "changes": changes}


def main():
    parser = argparse.ArgumentParser()
    for name in ("flowkeeper", "jars", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--bootstrap")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    # Whoever is told to end still stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    product = Product(given.flowkeeper, given.work, given.bootstrap)
    try:
        for kind, name, jar in (("source", "ticker", "ticker-source"), ("processor", "upper", "upper-processor"),
                                ("sink", "slog", "log-sink")):
            product.register(kind, name, pathlib.Path(given.jars) / f"{jar}-1.0.0.jar")
        for name, body in CHECKS.items():
            if name in (given.names or CHECKS):
                check(name, body, product)
                if name in FAILED:
                    product.request("DELETE", "/streams/definitions")
    finally:
        product.end()
    sys.exit(1 if FAILED else 0)


main()
