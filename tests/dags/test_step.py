"""The operator that runs a step, with a real child process."""

import json
import os
import signal
import threading
import time
from collections import defaultdict
from types import SimpleNamespace

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from intent_links import DataDocs, Rows
from intent_process import environment
from intent_step import Step

DAY = "2026-06-30"


def step(**options):
    return Step(**{"task_id": "extract", "as_of_date": DAY, **options})


def execute(operator):
    pushed = {}
    context = {
        "outlet_events": defaultdict(SimpleNamespace),
        "ti": SimpleNamespace(xcom_push=pushed.__setitem__),
    }
    return operator.execute(context), context, pushed


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().split()[2] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
    return True


def test_the_step_gets_its_name_day_and_bucket_on_the_command_line(interpreter):
    interpreter("""
        import json, sys
        print(json.dumps({"arguments": sys.argv[1:]}))
    """)
    receipt, _, _ = execute(step(task_id="score", bucket=3))
    assert receipt["arguments"] == [
        *("-m", "intent_tasks.cli", "step", "score"),
        *("--as-of-date", DAY, "--until-stdin-closes", "--bucket", "3"),
    ]


def test_a_task_of_another_name_runs_its_step(interpreter):
    interpreter("""
        import json, sys
        print(json.dumps({"arguments": sys.argv[1:]}))
    """)
    operator = step(task_id="nightly.score_again", step="score")
    receipt, _, _ = execute(operator)
    assert receipt["arguments"][2:4] == ["step", "score"]
    assert Rows().get_link(operator, ti_key=None).endswith(f"/rows/score/{DAY}")


def test_the_last_line_of_stdout_is_the_receipt(interpreter):
    interpreter("""print('working'); print('{"rows": 7}'); print()""")
    receipt, _, _ = execute(step())
    assert receipt == {"rows": 7}


def test_a_list_of_the_receipt_is_returned_for_a_mapped_task(interpreter):
    interpreter("""print('{"buckets": [0, 1], "model_version": 3}')""")
    returned, _, pushed = execute(step(map_over="buckets"))
    assert returned == [0, 1]
    assert pushed == {"receipt": {"buckets": [0, 1], "model_version": 3}}


def test_the_asset_event_carries_the_day(interpreter):
    interpreter("print('{}')")
    asset = Asset("somewhere")
    _, context, _ = execute(step(outlets=[asset]))
    assert context["outlet_events"][asset].extra == {"as_of_date": DAY}


@pytest.mark.parametrize(
    ("ending", "raised", "message"),
    [
        ("sys.exit(75)", AirflowException, "say so"),
        ("sys.exit(78)", AirflowFailException, "say so"),
        ("sys.exit(99)", AirflowSkipException, "say so"),
        ("sys.exit(1)", AirflowFailException, "bug (exit code 1): say so"),
        ("os.kill(os.getpid(), 9)", AirflowException, "killed by signal 9. say so"),
    ],
)
def test_an_exit_code_becomes(interpreter, ending, raised, message):
    interpreter(f"""
        import os, sys
        print("first", file=sys.stderr)
        print("say so", file=sys.stderr, flush=True)
        {ending}
    """)
    with pytest.raises(AirflowException, match="say so") as caught:
        execute(step())
    assert type(caught.value) is raised
    assert message in str(caught.value)


def test_the_button_of_a_refused_step_leads_to_the_page_that_it_named(interpreter):
    interpreter("""
        import sys
        print('{"data_docs": "data_docs/validations/events/day.html"}')
        print("Refused: it is said why", file=sys.stderr, flush=True)
        sys.exit(78)
    """)
    refused = step(task_id="validate")
    with pytest.raises(AirflowFailException, match="it is said why"):
        execute(refused)
    link = DataDocs().get_link(refused, ti_key=None)
    assert link.endswith("/intent/data_docs/validations/events/day.html")
    assert Rows().get_link(refused, ti_key=None) == ""


def test_a_step_that_names_no_page_has_no_such_button(interpreter):
    interpreter("import sys; print('some words'); sys.exit(78)")
    refused = step(task_id="validate")
    with pytest.raises(AirflowFailException):
        execute(refused)
    assert DataDocs().get_link(refused, ti_key=None) == ""


@pytest.mark.parametrize("line", ["", "done", "[1]", '"text"'])
def test_a_last_line_that_is_no_receipt_is_a_bug(interpreter, line):
    interpreter(f"print({line!r})")
    with pytest.raises(AirflowFailException, match="no receipt"):
        execute(step())


@pytest.fixture
def log_lines(monkeypatch):
    lines = []
    log = SimpleNamespace(
        info=lambda text, *values: lines.append(text % values), warning=lambda text: None
    )
    monkeypatch.setattr(Step, "log", log)
    return lines


def test_lines_reach_the_task_log_while_the_step_runs(interpreter, tmp_path, log_lines):
    interpreter(f"""
        import pathlib, sys, time
        print("100 % from stdout", flush=True)
        print("from stderr", file=sys.stderr, flush=True)
        while not pathlib.Path({str(tmp_path / "go")!r}).exists():
            time.sleep(0.01)
        print("{{}}")
    """)
    thread = threading.Thread(target=execute, args=[step()], daemon=True)
    thread.start()
    eventually(lambda: {"100 % from stdout", "from stderr"} <= set(log_lines))
    assert thread.is_alive(), "the step waits for the file that the test makes"
    (tmp_path / "go").touch()
    thread.join(5)
    assert log_lines[-1] == "{}"


SLEEPS_WITH_A_CHILD = """
    import os, signal, subprocess, sys, time
    if {stubborn}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "60"])
    print(os.getpid(), child.pid, file=sys.stderr, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_killed_task_ends_the_step_and_its_children(interpreter, monkeypatch, stubborn):
    monkeypatch.setattr("intent_process.STOP_SECONDS", 0.3)
    interpreter(SLEEPS_WITH_A_CHILD.format(stubborn=stubborn))
    operator, caught = step(), []

    def run():
        try:
            execute(operator)
        except AirflowException as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    eventually(lambda: operator.child and operator.child.last_error)
    pids = [int(text) for text in operator.child.last_error.split()]
    assert all(map(is_running, pids))
    operator.on_kill()
    thread.join(5)
    number = signal.SIGKILL if stubborn else signal.SIGTERM
    assert f"killed by signal {number}" in str(caught[0])
    eventually(lambda: not any(map(is_running, pids)))


def test_a_step_that_runs_out_of_time_is_ended(interpreter):
    interpreter(SLEEPS_WITH_A_CHILD.format(stubborn=False))
    operator = step()

    def time_is_up(*_):
        raise AirflowTaskTimeout("time is up")

    before = signal.signal(signal.SIGALRM, time_is_up)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(AirflowTaskTimeout):
            execute(operator)
    finally:
        signal.signal(signal.SIGALRM, before)
    pids = [int(text) for text in operator.child.last_error.split()]
    eventually(lambda: not any(map(is_running, pids)))


def test_the_step_sees_no_secret_of_airflow(interpreter, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "keep-to-yourself")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "postgresql://user:keep-to-yourself@host/db")
    monkeypatch.setenv("INTENT_SEED", "1")
    interpreter("""
        import json, os
        print(json.dumps(dict(os.environ)))
    """)
    seen, _, _ = execute(step())
    assert seen["INTENT_SEED"] == "1"
    assert not [name for name in seen if name.startswith("AIRFLOW")]
    assert "keep-to-yourself" not in json.dumps(seen)


def test_the_environment_of_a_step_is_a_list_of_what_it_may_see():
    surroundings = {"PATH": "/bin", "LC_ALL": "C", "SHELL": "/bin/sh", "_AIRFLOW_X": "1"}
    passed = environment(surroundings)
    assert set(passed) == {"PATH", "LC_ALL", "PYTHONUNBUFFERED", "PYTHONIOENCODING"}


def test_a_real_step_that_is_refused_fails_the_task_with_its_own_message(monkeypatch, tmp_path):
    monkeypatch.setenv("INTENT_HOME", str(tmp_path))
    with pytest.raises(AirflowFailException, match="Settings are incomplete: INTENT_SHOP_URL"):
        execute(step())


@pytest.mark.parametrize(
    "name", ["AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_CONNECTION_STRING"]
)
def test_a_step_that_collects_from_an_object_store_gets_its_credentials(name):
    assert environment({name: "x"})[name] == "x"


def test_the_step_is_not_part_of_the_process_group_of_the_task(interpreter):
    interpreter("""import json, os; print(json.dumps({"group": os.getpgid(0)}))""")
    receipt, _, _ = execute(step())
    assert receipt["group"] != os.getpgid(0)
