"""Rules of the deployment."""

import importlib.util
import re
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")

PINNED = re.compile(r"^[\w./-]+:[\w.-]*\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}$")
VARIABLE = re.compile(r"\$\{(\w+)(:?[-?+][^}]*)?\}")
SECRET = re.compile(r"PASSWORD|SECRET|_KEY$")

LONG_RUNNING = sorted(set(SERVICES) - {"init"})


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docker" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parse(text):
    """Fill in the variables as `docker compose` would; the parser knows no tag with a digest."""
    from compose_spec import PyCompose

    filled = VARIABLE.sub(lambda m: m[2][2:] if (m[2] or "").startswith(":-") else "secret", text)
    plain = yaml.safe_load(re.sub(r"@sha256:\w+", "", filled))
    return PyCompose.from_yaml(yaml.safe_dump(plain))


def test_the_file_is_a_valid_compose_file():
    assert sorted(parse(TEXT).service_names()) == sorted(SERVICES)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("    healthcheck:", "    healthchecks:"),
        ("restart: unless-stopped", "restart: sometimes"),
        ("condition: service_healthy", "condition: healthy"),
        ("interval: 15s", "interval: soon"),
    ],
)
def test_a_mistake_in_the_file_is_found(right, wrong):
    assert right in TEXT
    with pytest.raises(ValueError, match="services"):
        parse(TEXT.replace(right, wrong))


def test_the_services_are_those_of_the_design():
    airflow = {f"airflow-{p}" for p in ("api", "scheduler", "dag-processor", "triggerer", "worker")}
    assert set(SERVICES) == {"postgres", "redis", "mlflow", "init"} | airflow


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_every_service_has_a_health_check(name):
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_can_gain_rights(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged", False)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_runs_as_root(name):
    user = SERVICES[name].get("user") or re.findall(r"(?m)^USER (.+)$", DOCKERFILE)[-1]
    assert user.split(":")[0] not in ("root", "0")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_published_on_loopback_only(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_images_are_pinned_by_version_and_digest():
    foreign = [s["image"] for s in SERVICES.values() if "build" not in s]
    foreign += re.findall(r"(?m)^ARG PYTHON=(.+)$", DOCKERFILE)
    assert [image for image in foreign if not PINNED.match(image)] == []


def test_every_secret_is_required_and_has_no_default():
    used = {m[0]: m[1] for m in VARIABLE.findall(TEXT) if SECRET.search(m[0])}
    assert used, "the pattern finds the secrets"
    assert {name for name, rest in used.items() if not rest.startswith(":?")} == set()


def test_no_password_is_written_down():
    written = re.findall(r"(?im)^\s*\S*(?:PASSWORD|SECRET\w*|_KEY):\s*(.+)$", TEXT)
    assert written, "the pattern finds the settings"
    assert [value for value in written if not value.startswith("${")] == []
    assert re.findall(r"://\w*:(?!\$\{)[^@\s]*@", TEXT) == [], "no password in an address"


def test_the_example_names_all_settings_and_gives_no_value():
    named = re.findall(r"(?m)^(?:# )?([A-Z_]+)=(.*)$", EXAMPLE)
    assert {name for name, _ in named} == {name for name, _ in VARIABLE.findall(TEXT)}
    assert [value for _, value in named if value] == []
    required = {name for name, rest in VARIABLE.findall(TEXT) if rest.startswith(":?")}
    assert set(re.findall(r"(?m)^([A-Z_]+)=", EXAMPLE)) == required


def test_only_services_that_need_them_get_the_superuser_and_the_shop_databases():
    def given(name):
        return {s for s, service in SERVICES.items() if name in service.get("environment", {})}

    assert given("POSTGRES_PASSWORD") == {"postgres", "init"}
    assert given("INTENT_PIPELINE_URL") == {"airflow-worker", "init"}
    assert given("INTENT_IDENTITY_KEY") == {"airflow-worker", "init"}


def test_the_image_installs_from_the_lock_with_hashes():
    installs = re.findall(r"pip install [^&\n]+", DOCKERFILE)
    assert len(installs) == 3
    assert all("--require-hashes" in i or "--no-deps" in i for i in installs)


def test_the_image_leaves_out_what_is_not_named():
    assert (ROOT / ".dockerignore").read_text().splitlines()[0] == "*"


def test_generated_secrets_are_long_fresh_and_for_their_owner_only(tmp_path):
    generate = load("generate_env")
    (tmp_path / ".env.example").write_text(EXAMPLE)
    generate.main(tmp_path)
    text = (tmp_path / ".env").read_text()
    secrets = dict(re.findall(r"(?m)^([A-Z_]+)=(.+)$", text))
    assert set(secrets) == set(re.findall(r"(?m)^([A-Z_]+)=", EXAMPLE))
    assert min(map(len, secrets.values())) >= 40
    assert len(set(secrets.values())) == len(secrets)
    assert all(re.fullmatch(r"[\w=-]+", value) for value in secrets.values()), "fit for an address"
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_existing_secrets_are_not_replaced(tmp_path):
    generate = load("generate_env")
    (tmp_path / ".env.example").write_text(EXAMPLE)
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=in-use\n")
    with pytest.raises(SystemExit, match="was not changed"):
        generate.main(tmp_path)
    assert (tmp_path / ".env").read_text() == "POSTGRES_PASSWORD=in-use\n"


def test_the_roles_are_those_of_a_local_installation():
    from intent_tasks.local.databases import ROLES

    assert set(load("init").PASSWORDS) == set(ROLES)


def test_the_database_log_holds_no_statement_or_parameter():
    from intent_tasks.local.postgres import PRIVATE_LOG

    command = SERVICES["postgres"]["command"]
    assert {f"--{name}={value}" for name, value in PRIVATE_LOG.items()} <= set(command)
    assert any(option.startswith("--reserved_connections=") for option in command)


def test_mlflow_allows_origins_of_its_own_addresses():
    script = (ROOT / "docker" / "mlflow.sh").read_text(encoding="utf-8")
    (assign,) = re.findall(r"(?ms)^MLFLOW_SERVER_CORS_ALLOWED_ORIGINS=.*?\)$", script)
    environment = {
        "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow:5000,ml.shop.example",
        "PATH": "/usr/bin:/bin",
    }
    command = f'{assign}\nprintf %s "$MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"'
    done = subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split(",") == [
        f"{scheme}://{host}"
        for host in ("mlflow:5000", "ml.shop.example")
        for scheme in ("http", "https")
    ]
