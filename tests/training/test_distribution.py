"""Two workers, or two devices of one, have the losses of one."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from intent_tasks.errors import BadInput
from intent_tasks.models import distribution


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def started(config, module="two_workers"):
    environment = {k: v for k, v in os.environ.items() if k != distribution.VARIABLE}
    if config:
        environment[distribution.VARIABLE] = json.dumps(config)
    command = [sys.executable, "-m", f"tests.training.{module}"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def result_of(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
    return json.loads(out.splitlines()[-1])


def test_two_workers_have_the_losses_of_one():
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    tasks = [{"type": "worker", "index": n} for n in range(2)]
    workers = [started({"cluster": cluster, "task": task}) for task in tasks]
    alone = result_of(started(None))
    both = [result_of(worker) for worker in workers]
    assert alone["replicas"] == 1
    for one in both:
        assert one["replicas"] == 2
        np.testing.assert_allclose(one["losses"], alone["losses"], rtol=1e-4)
        assert one["mean_logit"] == pytest.approx(alone["mean_logit"], rel=1e-3)


def test_two_devices_of_one_machine_have_the_losses_of_one():
    both, alone = started(None, "two_devices"), started(None)
    two, one = result_of(both), result_of(alone)
    assert (two["replicas"], one["replicas"]) == (2, 1)
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-4)


def test_an_incomplete_cluster_is_refused(monkeypatch):
    monkeypatch.setenv(distribution.VARIABLE, '{"cluster": {}}')
    with pytest.raises(BadInput, match="TF_CONFIG must look like"):
        distribution.strategy.__wrapped__()
