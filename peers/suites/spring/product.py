"""A running Flowkeeper, and the few requests that the checks make."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

# Java on two busy cores is slow to start: wait for what is expected, never for a time.
PATIENCE = 300


def wait(what, look, is_right=bool, patience=PATIENCE):
    """Looks until it is right and gives what was seen last; raises with it when that takes too long."""
    end = time.monotonic() + patience
    while True:
        seen = look()
        if is_right(seen):
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {patience} s; last: {str(seen)[-2000:]}")
        time.sleep(0.2)


def free_port():
    """A port that nobody has, below those that the system gives to clients and above those of app instances."""
    for port in range(31000 + os.getpid() % 500, 32760):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                try:
                    with socket.socket() as taker:
                        taker.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    pass
    raise AssertionError("no port is free")


class Product:
    """`flowkeeper dev` with its own broker, or the three roles with the broker at `bootstrap`."""

    def __init__(self, program, work, bootstrap):
        self.program, self.work, self.children = program, pathlib.Path(work), []
        self.work.mkdir(parents=True)
        local = "127.0.0.1:0"
        if bootstrap is None:
            says = self.start("dev", "--listen", local, "--zookeeper-listen", local, "--broker-listen", local,
                              "--data", self.work / "data")
            self.node = self.work / "data" / "node"
        else:
            says = self.start("zookeeper", "--zookeeper-listen", local, "--data", self.work / "zookeeper")
            zookeeper = f"{says['zookeeper']}/flowkeeper"
            says = self.start("server", "--listen", local, "--zookeeper", zookeeper, "--broker", bootstrap,
                              "--data", self.work / "server")
            self.start("agent", "--zookeeper", zookeeper, "--name", "n1", "--data", self.work / "agent")
            self.node = self.work / "agent" / "node"
        self.api = f"http://{says['api']}"

    def start(self, role, *flags):
        """Starts a role and gives the addresses it listens on."""
        log = open(self.work / f"{role}.err", "ab")
        env = {name: value for name, value in os.environ.items() if not name.startswith("FLOWKEEPER")}
        child = subprocess.Popen([self.program, role, *map(str, flags)], stdin=subprocess.DEVNULL, stderr=log,
                                 stdout=subprocess.PIPE, text=True, env=env, start_new_session=True)
        self.children.append(child)
        says = {}
        for line in child.stdout:
            if line == "flowkeeper: ready\n":
                # Read on, so that the role never waits for us.
                threading.Thread(target=lambda: [None for _ in child.stdout], daemon=True).start()
                return says
            if line.startswith("flowkeeper: ") and " listening on " in line:
                what, address = line.removeprefix("flowkeeper: ").split(" listening on ")
                says[what] = address.strip()
        raise AssertionError(f"{role} ended before it was ready: {(self.work / f'{role}.err').read_text()[-2000:]}")

    def request(self, method, path, body=None, form=None):
        """Status and body of an answer, JSON where it is."""
        data, headers = None, {}
        if form is not None:
            data = urllib.parse.urlencode(form).encode()
        elif body is not None:
            data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(self.api + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def ask(self, method, path, wanted, body=None, form=None):
        """The body of an answer that must have the wanted status."""
        status, text = self.request(method, path, body, form)
        if status != wanted:
            raise AssertionError(f"{method} {path}: status {status} instead of {wanted}: {text}")
        return text

    def register(self, kind, name, jar):
        self.ask("POST", f"/apps/{kind}/{name}", 201, form={"uri": f"file://{jar}", "bootVersion": "3"})

    def create(self, name, definition):
        self.ask("POST", "/streams/definitions", 201, form={"name": name, "definition": definition})

    def deploy(self, name, properties):
        self.ask("POST", f"/streams/deployments/{name}", 201, properties)

    def update(self, name, properties):
        package = {"packageName": name, "packageVersion": "1.0.0"}
        body = {"releaseName": name, "packageIdentifier": package, "updateProperties": properties}
        self.ask("POST", f"/streams/deployments/update/{name}", 201, body)

    def status(self, name):
        return self.ask("GET", f"/streams/deployments/{name}", 200)["status"]

    def until(self, name, wanted):
        """Waits until the stream is as wanted; what it says instead tells why it is not."""
        try:
            wait(f"stream {name} is {wanted}", lambda: self.status(name), lambda status: status == wanted)
        except AssertionError as error:
            _, told = self.request("GET", f"/api/v1/streams/{name}")
            raise AssertionError(f"{error}; {json.dumps(told)[-3000:]}") from error

    def releases(self, name):
        """Status of each release by number."""
        found = self.ask("GET", f"/streams/deployments/history/{name}", 200)
        return {release["version"]: release["info"]["status"]["statusCode"] for release in found if release["name"] == name}

    def instances(self, name, label):
        """Attributes of the instances of an app, by index."""
        apps = self.ask("GET", f"/runtime/streams/{name}", 200)
        found = {}
        for stream in apps["_embedded"]["streamStatusResourceList"]:
            for app in stream["applications"].get("_embedded", {}).get("appStatusResourceList", []):
                for instance in app["instances"].get("_embedded", {}).get("appInstanceStatusResourceList", []):
                    attributes = instance["attributes"]
                    if app["deploymentId"].startswith(f"{name}.{label}-v"):
                        found[int(attributes["guid"].rsplit("-", 1)[1])] = {**attributes, "state": instance["state"]}
        return found

    def output(self, name, label, index=0):
        """Lines that an instance printed."""
        path = pathlib.Path(self.instances(name, label)[index]["stdout"])
        old = [path.with_name(f"{path.name}.{n}") for n in (2, 1)]
        return [line for file in [*old, path] if file.exists() for line in file.read_text(errors="replace").splitlines()]

    def pids(self):
        """Processes of app instances and of their shims, as (pid, start time)."""
        found = []
        for path in self.node.glob("instances/*/state.json"):
            try:
                state = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
            found += [(one["pid"], one["start"]) for one in (state.get("shim"), state.get("app")) if one]
        return [(pid, start) for pid, start in found if start_time(pid) == start]

    def end(self):
        """Stops everything that this product has started."""
        try:
            self.request("DELETE", "/streams/definitions")
            wait("all apps are gone", self.pids, lambda pids: not pids, 60)
        except (AssertionError, OSError):
            pass
        left = self.pids()
        for child in reversed(self.children):
            child.send_signal(signal.SIGTERM)
        for child in reversed(self.children):
            try:
                child.wait(60)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for pid, start in left:
            if start_time(pid) == start:
                os.kill(pid, signal.SIGKILL)
        for name in ("data", "zookeeper", "server", "agent"):
            shutil.rmtree(self.work / name, ignore_errors=True)


def start_time(pid):
    """Start time of a process in ticks; none when it does not run. With it a pid that was used again is not mistaken."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class Producer:
    """Posts numbered messages to an http source, each again until it is accepted."""

    def __init__(self, port, text, pause):
        self.port, self.text, self.pause = port, text, pause
        self.accepted, self.refused, self.is_stopped = 0, 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.is_stopped.is_set():
            if post(self.port, self.text(self.accepted)):
                self.accepted += 1
            else:
                self.refused += 1
            self.is_stopped.wait(self.pause)

    def stop(self):
        """Ends it and gives how many messages were accepted."""
        self.is_stopped.set()
        self.thread.join()
        return self.accepted


def post(port, text):
    """Whether an http source accepted a text."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", text.encode(), {"Content-Type": "text/plain"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status == 202
    except OSError:
        return False
