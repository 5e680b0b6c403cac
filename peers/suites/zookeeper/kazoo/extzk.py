"""Points kazoo's own tests at servers that run already.

kazoo starts a Java ensemble through kazoo.testing.common.ZookeeperCluster. This pytest plugin puts a stand-in under
that name before the tests are loaded, so that no JVM is needed.

  EXTZK_HOSTS         host:port of each server, comma separated            (required)
  EXTZK_SECURE_HOSTS  host:port of each TLS listener; without it TLS tests are skipped
  EXTZK_TLS_DIR       folder with ca.pem, client.crt, client.key (client certificate for mTLS)
  EXTZK_CTL           controller command; called as `$EXTZK_CTL stop|start INDEX`.
                      Without it, tests that stop or start a server are skipped.
  EXTZK_SASL          1 = the server accepts SASL DIGEST-MD5 (jaasuser / jaas_password); else skipped
  EXTZK_RECONFIG      1 = the servers form a reconfigurable ensemble; else those tests are skipped
"""
import os
import shlex
import subprocess
import sys
import types

import pytest

HOSTS = [h for h in os.environ.get("EXTZK_HOSTS", "").split(",") if h]
SECURE = [h for h in os.environ.get("EXTZK_SECURE_HOSTS", "").split(",") if h]
CTL = shlex.split(os.environ.get("EXTZK_CTL", ""))
TLS_DIR = os.environ.get("EXTZK_TLS_DIR", "")

os.environ.setdefault("ZOOKEEPER_VERSION", "3.8.0")
os.environ.setdefault("ZOOKEEPER_CLUSTER_SIZE", str(max(1, len(HOSTS))))


class ExternalServer:
    def __init__(self, index, address):
        self.index = index
        self.address = address
        self.host, port = address.rsplit(":", 1)
        self.client_port = int(port)
        self._running = True

    def _ctl(self, verb):
        if not CTL:
            pytest.skip("EXTZK_CTL is not set: cannot %s a server" % verb)
        subprocess.run(CTL + [verb, str(self.index)], check=True)

    @property
    def secure_address(self):
        if self.index >= len(SECURE):
            pytest.skip("EXTZK_SECURE_HOSTS is not set")
        return SECURE[self.index]

    @property
    def secure_client_port(self):
        return int(self.secure_address.rsplit(":", 1)[1])

    @property
    def running(self):
        return self._running

    def run(self):
        if not self._running:
            self._ctl("start")
            self._running = True

    def stop(self):
        if self._running:
            self._ctl("stop")
            self._running = False

    def reset(self):
        self.stop()
        self._ctl("wipe")

    def destroy(self):
        pass

    def get_logs(self, num_lines=100):
        return []


class ExternalCluster:
    def __init__(self, **_ignored):
        self._servers = [ExternalServer(i, h) for i, h in enumerate(HOSTS)]

    def __getitem__(self, k):
        try:
            return self._servers[k]
        except IndexError:
            pytest.skip("needs an ensemble of more than %d server(s)" % len(self._servers))

    def __iter__(self):
        return iter(self._servers)

    def start(self):
        for s in self._servers:
            s.run()

    def stop(self):
        pass

    def terminate(self):
        for s in self._servers:
            s.run()

    def reset(self):
        pass

    def get_logs(self):
        return []

    def get_ssl_client_configuration(self):
        if not (SECURE and TLS_DIR):
            pytest.skip("EXTZK_SECURE_HOSTS / EXTZK_TLS_DIR are not set")

        def rd(name):
            with open(os.path.join(TLS_DIR, name), "rb") as f:
                return f.read()

        return {
            "client_key": rd("client.key"),
            "client_cert": rd("client.crt"),
            "ca_cert": rd("ca.pem"),
        }


stub = types.ModuleType("kazoo.testing.common")
stub.ZookeeperCluster = ExternalCluster
sys.modules["kazoo.testing.common"] = stub


def pytest_configure(config):
    if not HOSTS:
        raise pytest.UsageError("EXTZK_HOSTS is not set")
    config.addinivalue_line("markers", "extzk: needs EXTZK_* variables")


def pytest_collection_modifyitems(config, items):
    def skip(item, why):
        item.add_marker(pytest.mark.skip(reason=why))

    for item in items:
        cls = item.cls.__name__ if item.cls else ""
        if len(HOSTS) < 3 and item.name in ("test_read_only", "test_update_host_list"):
            skip(item, "needs a 3-server ensemble")
        if "SASLDigest" in cls and os.environ.get("EXTZK_SASL") != "1":
            skip(item, "EXTZK_SASL is not 1")
        if cls == "TestReconfig" and os.environ.get("EXTZK_RECONFIG") != "1":
            skip(item, "EXTZK_RECONFIG is not 1")
