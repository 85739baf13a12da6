import socket

import pytest

from intent_tasks.errors import Refused
from intent_tasks.local import ports


def test_free_ports_differ_and_are_free():
    free = ports.free_ports(5)
    assert len(set(free)) == 5
    assert all(ports.is_free(port) for port in free)


def test_a_taken_port_is_refused_by_the_name_of_its_setting():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Refused, match=f"INTENT_AIRFLOW_PORT={port}: another program"):
            ports.require_free([("INTENT_AIRFLOW_PORT", port)])
