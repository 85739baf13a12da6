"""Rules that hold for the servers of every local installation."""

import os
import signal
import socket
import time
from functools import partial

import httpx
import psutil
import pytest
import sqlalchemy as sa

from intent_tasks.local import up
from intent_tasks.local.configuration import USER
from intent_tasks.local.supervisor import Supervisor, wait_until
from intent_tasks.local.supervisor_client import PROGRAMS
from intent_tasks.stores import postgres
from tests.end_to_end.connections import Connections

pytestmark = pytest.mark.end_to_end


def _processes(stack):
    supervisord = psutil.Process(int((stack.home / "supervisord.pid").read_text()))
    return [supervisord, *supervisord.children(recursive=True)]


def _secrets(stack):
    secrets = stack.installation.secrets
    return [*secrets.model_dump(exclude={"roles"}).values(), *secrets.roles.values()]


def _settled_pids(supervisor, seconds=20):
    """Return the process ids once they stay: a server whose database was away starts again."""
    pids, since = {}, time.monotonic()
    while time.monotonic() - since < seconds:
        now = {name: supervisor.pid(name) for name in PROGRAMS}
        if now != pids:
            pids, since = now, time.monotonic()
        time.sleep(0.5)
    return pids


def test_starting_again_changes_nothing(stack):
    supervisor = Supervisor(stack.installation)
    before = _settled_pids(supervisor)
    assert up.up(stack.home, None, print) == stack.installation
    assert {name: supervisor.pid(name) for name in PROGRAMS} == before
    assert set(supervisor.states().values()) == {"RUNNING"}


def test_everything_listens_on_loopback_only(stack):
    listening = {
        connection.laddr.ip
        for process in _processes(stack)
        for connection in _connections(process)
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def _connections(process):
    try:
        return process.net_connections("inet")
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return []  # a task of Airflow: it closes itself to other processes, and does not last


def test_no_process_connects_to_another_machine(stack, record_property):
    record_property("polls", stack.connections.polls)
    assert stack.connections.polls > 10
    assert stack.connections.remote == set()


def test_the_control_a_connection_to_another_machine_is_seen():
    connections = Connections(lambda: [psutil.Process()])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        try:
            sender.connect(("192.0.2.1", 9))  # reserved for documentation; nothing is sent
        except OSError:
            sender.connect((_own_address(), 9))
        connections.poll()
    assert len(connections.remote) == 1


def _own_address():
    addresses = [a.address for one in psutil.net_if_addrs().values() for a in one
                 if a.family == socket.AF_INET and not a.address.startswith("127.")]  # fmt: skip
    return addresses[0]


def test_no_secret_is_in_a_process_list_or_in_a_log(stack):
    lines = [" ".join(process.cmdline()) for process in _processes(stack)]
    logs = [file for file in stack.installation.logs.iterdir() if file.is_file()]
    assert {f"{name}.log" for name in PROGRAMS} <= {file.name for file in logs}
    texts = lines + [file.read_text(errors="replace") for file in logs]
    found = [text[:200] for text in texts for secret in _secrets(stack) if secret in text]
    assert found == []


def test_servers_require_a_password(stack):
    mlflow, airflow = (stack.installation.address(name) for name in ("mlflow", "airflow"))
    search = f"{mlflow}/api/2.0/mlflow/experiments/search"
    body = {"max_results": 1}
    assert httpx.post(search, json=body).status_code == 401
    password = stack.installation.secrets.mlflow
    assert httpx.post(search, json=body, auth=(USER, password)).is_success
    assert httpx.get(f"{airflow}/api/v2/dags").status_code == 401
    assert stack.api.dag_is_known("intent_daily"), "with the password it is open"


def test_both_servers_answer_to_their_own_addresses_only(stack):
    secrets = stack.installation.secrets
    for name, path, password in (
        ("mlflow", "/api/2.0/mlflow/experiments/search", secrets.mlflow),
        ("airflow", "/api/v2/monitor/health", secrets.airflow),
    ):
        address = stack.installation.address(name)
        port = stack.installation.ports[name]
        send = partial(
            httpx.request,
            url=address + path,
            params={"max_results": 1},
            auth=(USER, password),
            timeout=60,
        )
        for own in (address, f"http://localhost:{port}"):
            assert send("GET", headers={"Origin": own}).is_success
        for foreign in (
            {"Origin": f"http://127.0.0.1:{port + 1}"},
            {"Origin": "http://localhost:3000"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Host": "evil.example"},
            {"Host": f"evil.example:{port}"},
            {"Host": "127.0.0.1"},
        ):
            for method in ("GET", "POST", "OPTIONS"):
                answer = send(method, headers=foreign)
                assert answer.status_code == 403, (name, method, foreign)
                assert "access-control-allow-origin" not in answer.headers


def test_only_the_owner_can_read_the_files_of_the_servers(stack):
    below = [path for path in stack.home.rglob("*") if not path.is_symlink()]
    database = stack.installation.postgres_folder
    open_to_others = [
        path for path in below if path.lstat().st_mode & 0o077 and database not in path.parents
    ]
    assert [path for path in open_to_others if path.suffix != ".sock"] == []


def test_the_log_of_the_database_holds_no_value_of_a_statement(stack):
    url = stack.settings.pipeline_url
    planted = "planted.person@mail.example"
    for statement in (
        f"SELECT '{planted}'::integer",
        f"INSERT INTO intent.erasures (customer_key) VALUES ('{planted}')",
        f'SELECT * FROM "{planted}"',
    ):
        with pytest.raises(sa.exc.DBAPIError), postgres.engine(url).connect() as connection:
            connection.exec_driver_sql(statement)
    written = "".join(f.read_text() for f in stack.installation.logs.glob("postgres.log*"))
    assert "ready to accept connections" in written
    assert planted not in written


def test_a_killed_server_restarts(stack):
    supervisor = Supervisor(stack.installation)
    process = psutil.Process(supervisor.pid("mlflow"))
    os.killpg(process.pid, signal.SIGKILL)
    wait_until(lambda: supervisor.pid("mlflow") not in (0, process.pid), "a new MLflow", 60)
    address = stack.installation.address("mlflow") + "/health"
    wait_until(lambda: up.is_ok(address), "MLflow", 120)


def test_all_servers_start_again_after_supervisord_and_the_database_were_killed(stack):
    supervisor = Supervisor(stack.installation)
    with postgres.changing(stack.settings.shop_owner_url, "test") as connection:
        connection.exec_driver_sql("CREATE TABLE shop.kept AS SELECT 7 AS number")
    before = _processes(stack)
    for pid in (supervisor.pid("postgres"), before[0].pid):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not before[0].is_running(), "the end of supervisord", 20)
    assert any(process.is_running() for process in before), "the other servers are orphans"
    restarted = up.up(stack.home, None, print)
    assert restarted == stack.installation, "on the same ports"
    assert set(supervisor.states().values()) == {"RUNNING"}
    assert not [process for process in before if process.is_running()]
    with postgres.changing(stack.settings.shop_owner_url, "test") as connection:
        assert connection.exec_driver_sql("SELECT number FROM shop.kept").scalar() == 7
        connection.exec_driver_sql("DROP TABLE shop.kept")
