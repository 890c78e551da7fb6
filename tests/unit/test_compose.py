"""docker-compose.yml: what can be known of it without starting it. `tests/e2e/test_production.py` runs its commands."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from memory_pipelines.stores.graph.memgraph import losses
from tests import compose
from tests.unit.test_settings import variables

SCHEMA = compose.ROOT / "tests" / "compose_spec" / "compose-spec.json"
DOCUMENT = compose.read()
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
EXAMPLE = compose.EXAMPLE.read_text("utf-8")
OURS = ("preflight", "migrate", "dagster-migrate", "code", "dagster-daemon", "dagster-webserver")


def once() -> set[str]:
    """Services that end, and are waited for."""
    waits = [wait for service in SERVICES.values() for wait in service.get("depends_on", {}).items()]
    return {name for name, wait in waits if wait["condition"] == "service_completed_successfully"}


LASTING = sorted(SERVICES.keys() - once())


def test_the_file_is_what_the_specification_allows() -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(DOCUMENT)] == []
    broken = {**DOCUMENT, "services": {**SERVICES, "redis": {**SERVICES["redis"], "restarts": "always"}}}
    assert list(validator.iter_errors(broken))  # the schema does look


def test_the_example_names_every_variable_and_no_other() -> None:
    named = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", EXAMPLE, re.MULTILINE)
    assert set(named) == compose.references(DOCUMENT)
    assert len(named) == len(set(named))


def test_the_documentation_names_every_variable() -> None:
    text = (compose.ROOT / "docs" / "production.md").read_text("utf-8")
    listed = {name for row in re.findall(r"^\|([^|]*)\|", text, re.MULTILINE) for name in re.findall(r"`([A-Z][A-Z0-9_]*)`", row)}
    assert {name for name in compose.references(DOCUMENT) if name not in variables()} <= listed


def test_no_secret_has_a_default() -> None:
    """A secret is required wherever it is used, and nothing that looks like one is written out."""
    uses = [match for text in compose.strings(DOCUMENT) for match in compose.REFERENCE.finditer(text) if match["name"]]
    secret = re.compile(r"PASSWORD|SECRET|KEY|TOKEN")
    assert {match["name"] for match in uses if secret.search(match["name"]) and match["kind"] != "?"} == set()
    assert [match["name"] for match in uses if secret.search(match["name"])]
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if secret.search(variable) and value is not None:
                assert re.search(r"\$\{[A-Z_]+:\?", value), f"{name}: {variable}"
    for text in compose.strings(DOCUMENT):
        assert not re.search(r"://[^/@\s]*:(?!\$\{)[^/@\s]+@", text), "an address with a password written out"
    assert re.findall(r"^([A-Z_]*(?:PASSWORD|SECRET|_KEY))=(?!REPLACE_ME$)", EXAMPLE, re.MULTILINE) == []


def test_every_port_is_published_on_loopback_unless_somebody_says_otherwise() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert sorted(published) == ["dagster-webserver", "gateway", "memgraph", "neo4j", "postgres", "redis"]
    for ports in published.values():
        for port in compose.filled(ports, {}):
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


def test_every_image_is_pinned() -> None:
    images = {service["image"] for service in SERVICES.values()}
    dockerfile = (compose.ROOT / "Dockerfile").read_text("utf-8")
    images |= {line.split()[1] for line in dockerfile.splitlines() if line.startswith("FROM ")}
    for image in images:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*|postgrest/postgrest:v\d+\.\d+", image), image


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_bounded_and_restarted(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert "no-new-privileges:true" in service["security_opt"]
    if name in once():
        assert service["restart"] == "on-failure:3"
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "retries"} <= service["healthcheck"].keys()
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


def test_once_are_these() -> None:
    assert once() == {"preflight", "postgres-setup", "migrate", "dagster-migrate"}


def test_no_engine_starts_before_every_secret_was_looked_at() -> None:
    def before(name: str) -> set[str]:
        direct = SERVICES[name].get("depends_on", {}).keys()
        return set(direct).union(*(before(each) for each in direct))

    assert {name for name in SERVICES if name != "preflight" and "preflight" not in before(name)} == set()
    secrets = {name for name in compose.references(DOCUMENT) if re.search(r"PASSWORD|SECRET|_KEY$", name)} - variables()
    assert secrets | {"COMPOSE_PROFILES"} == SERVICES["preflight"]["environment"].keys()


def test_volumes_are_named_and_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", []) if not volume.startswith("./")}
    assert used == DOCUMENT["volumes"].keys()
    mounted = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", []) if volume.startswith("./")]
    for source, _, mode in mounted:
        assert (compose.ROOT / source).is_file()
        assert mode == "ro"


def test_what_we_are_configured_by_is_a_setting() -> None:
    known = variables()
    given = {name for service in SERVICES.values() for name in service.get("environment", {}) if name.startswith(("MEMORY_", "OPENAI_"))}
    assert given - known == {"MEMORY_SERVICE_PASSWORD"}  # not ours but Postgres': the password of the role memory_service
    dockerfile = (compose.ROOT / "Dockerfile").read_text("utf-8")
    assert set(re.findall(r"\b((?:MEMORY|OPENAI)_[A-Z_]+)=", dockerfile)) == {"MEMORY_HOME"}
    # What a run may be told, except what the image and the file itself decide, and the other transport of the record.
    decided = {"MEMORY_HOME", "MEMORY_SUPABASE_URL", "MEMORY_SUPABASE_KEY", "MEMORY_REDIS_CERTIFICATES", "MEMORY_GRAPH_CERTIFICATES"}
    decided |= {"MEMORY_GRAPH_NAME", "MEMORY_GRAPH_DATABASE"}
    for name in ("migrate", "code", "dagster-daemon", "dagster-webserver"):  # where one is missing, an embedded engine would be started
        assert {each for each in SERVICES[name]["environment"] if each.startswith(("MEMORY_", "OPENAI_"))} == known - decided


def test_a_signal_reaches_the_process_and_there_is_time_for_it() -> None:
    """Exec form throughout: a shell in between would keep the signal to itself."""
    for name in OURS:
        service = SERVICES[name]
        assert isinstance(service["command"], list)
        assert service["init"] is True
        assert service["stop_grace_period"] == ("10s" if name == "dagster-daemon" else "20s")
    for name in ("code", "dagster-daemon", "dagster-webserver"):
        assert SERVICES[name]["environment"]["TINI_KILL_PROCESS_GROUP"] == "1"
    for name in LASTING:
        assert int(SERVICES[name].get("stop_grace_period", "10s").removesuffix("s")) >= 10
        assert isinstance(SERVICES[name].get("entrypoint", []), list)
    dockerfile = (compose.ROOT / "Dockerfile").read_text("utf-8")
    assert re.search(r'^ENTRYPOINT \["/app/deploy/entrypoint"\]$', dockerfile, re.MULTILINE)
    assert (compose.ROOT / "deploy" / "entrypoint").read_text("utf-8").splitlines()[-1] == 'exec "$@"'


def test_a_memgraph_with_these_flags_loses_nothing_it_acknowledged() -> None:
    flags = [flag.removeprefix("--").partition("=") for flag in SERVICES["memgraph"]["command"]]
    config = [{"name": name.replace("-", "_"), "current_value": value} for name, _, value in flags]
    assert losses(config, []) == ()
    without = [row for row in config if row["name"] != "storage_wal_enabled"]
    assert losses(without, []) != ()


def test_either_graph_answers_to_the_same_name_port_and_user() -> None:
    graphs = {name: service for name, service in SERVICES.items() if "profiles" in service}
    assert {name: service["profiles"] for name, service in graphs.items()} == {"memgraph": ["memgraph"], "neo4j": ["neo4j"]}
    for service in graphs.values():
        assert service["networks"] == {"default": {"aliases": ["graph"]}}
        assert service["ports"] == graphs["memgraph"]["ports"]
    user = SERVICES["code"]["environment"]["MEMORY_GRAPH_USER"]
    assert graphs["memgraph"]["environment"]["MEMGRAPH_USER"] == user
    assert graphs["neo4j"]["environment"]["NEO4J_AUTH"].startswith(f"{user}/")
    assert re.search(r"^COMPOSE_PROFILES=memgraph$", EXAMPLE, re.MULTILINE)


def test_the_two_workspaces_name_the_same_location() -> None:
    (checkout,) = yaml.safe_load((compose.ROOT / "workspace.yaml").read_text("utf-8"))["load_from"]
    (deployed,) = yaml.safe_load((compose.ROOT / "deploy" / "workspace.yaml").read_text("utf-8"))["load_from"]
    command = SERVICES["code"]["command"]
    assert deployed["grpc_server"]["location_name"] == checkout["python_module"]["location_name"]
    assert command[command.index("--location-name") + 1] == deployed["grpc_server"]["location_name"]
    assert command[command.index("--module-name") + 1] == checkout["python_module"]["module_name"]
    assert command[command.index("--port") + 1] == str(deployed["grpc_server"]["port"])
    assert deployed["grpc_server"]["host"] == "code"


def test_the_image_is_built_from_what_is_listed_and_holds_no_secret() -> None:
    ignored = (compose.ROOT / ".dockerignore").read_text("utf-8").split("\n")
    assert "*" in ignored
    assert "**/.env*" in ignored
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    dockerfile = (compose.ROOT / "Dockerfile").read_text("utf-8")
    lines = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
    copied = [source for line in lines for source in line.split()]
    assert {source.split("/")[0] for source in copied} == let_in
    for source in copied:
        assert (compose.ROOT / source).exists()
    assert re.findall(r"^USER (\w+)$", dockerfile, re.MULTILINE) == ["memory"]
    assert "--require-hashes" in dockerfile


def test_the_images_lock_has_hashes_and_the_versions_of_ours() -> None:
    pinned = re.compile(r"^([a-z0-9._-]+)==([^\s;]+)", re.MULTILINE)
    ours = set(pinned.findall((compose.ROOT / "requirements.lock").read_text("utf-8")))
    text = (compose.ROOT / "deploy" / "requirements.lock").read_text("utf-8")
    images = set(pinned.findall(text))
    assert images <= ours
    assert {"dagster-postgres", "psycopg", "neo4j", "hatchling"} <= {name for name, _ in images}
    assert not {"pytest", "mypy", "ruff"} & {name for name, _ in images}
    for package in re.split(r"\n(?=[a-z0-9])", text.split("\n", 2)[2]):
        assert "--hash=sha256:" in package, package.splitlines()[0]
