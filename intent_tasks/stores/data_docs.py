"""Great Expectations: a suite run inside Postgres, its results kept as pages without row values."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import great_expectations as gx
import sqlalchemy as sa
from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context import EphemeralDataContext
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.datasource.fluent.interfaces import TestConnectionError
from great_expectations.exceptions import GreatExpectationsError
from pydantic import SecretStr

from intent_tasks.errors import Refused, TemporaryFailure

COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0}
"""How much of a result is kept: a sample of the offending values would be personal data."""

PAGES = "data_docs"
RESULTS = "validation_results"


class Checked(NamedTuple):
    """What became of a suite: which rules failed, and where the page is."""

    rules: int
    failed_critical: list[str]
    failed_warnings: list[str]
    page: str


def check(
    home: Path, url: SecretStr, query: str, suite: gx.ExpectationSuite, name: str, moment: datetime
) -> Checked:
    """Run a suite over the rows of a query, in the database, and write its page.

    Args:
        home: state folder; pages go to `data_docs/`.
        url: SQLAlchemy URL of the database.
        query: SQL of the rows.
        suite: the expectations.
        name: name of the run, such as the shop day; a second run replaces the page of the first.
        moment: time the run is filed under, the same for the same name.

    Raises:
        Refused: an expectation could not be evaluated; that is not taken for a pass.
        TemporaryFailure: the database went away.
    """
    with _one_at_a_time(home):
        context = _context(home)
        result = _validate(context, url, query, suite, name, moment)
        identifier = _identifier(suite.name, result, name, moment)
        _raise_if_not_evaluated(home, identifier, result)
        context.build_data_docs(resource_identifiers=[identifier])
        (page,) = context.get_docs_sites_urls(resource_identifier=identifier)
    failed = [r for r in result.results if not r.success]
    critical = [_rule(r) for r in failed if _severity(r) == "critical"]
    warnings = [_rule(r) for r in failed if _severity(r) != "critical"]
    return Checked(len(result.results), critical, warnings, _relative(str(page["site_url"]), home))


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Days are checked side by side, but the index of the pages is one file."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{RESULTS}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _context(home: Path) -> EphemeralDataContext:
    """Return a context that keeps results and pages on disk and the log-in in memory only."""
    defaults = InMemoryStoreBackendDefaults()
    defaults.stores[defaults.validation_results_store_name]["store_backend"] = _folder(
        home / RESULTS
    )
    defaults.data_docs_sites = {
        "local": {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": _folder(home / PAGES),
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
    }
    config = DataContextConfig(
        store_backend_defaults=defaults,
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(project_config=config, mode="ephemeral")


def _folder(path: Path) -> dict[str, str]:
    return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(path)}


def _validate(
    context: EphemeralDataContext,
    url: SecretStr,
    query: str,
    suite: gx.ExpectationSuite,
    name: str,
    moment: datetime,
) -> ExpectationSuiteValidationResult:
    address = sa.make_url(url.get_secret_value()).set(drivername="postgresql+psycopg2")
    try:
        source = context.data_sources.add_postgres(
            "postgres", connection_string=address.render_as_string(hide_password=False)
        )
        rows = source.add_query_asset(suite.name, query=query)
        definition = gx.ValidationDefinition(
            name=suite.name,
            data=rows.add_batch_definition_whole_table(name),
            suite=context.suites.add(suite),
        )
        return context.validation_definitions.add(definition).run(
            result_format=COUNTS_ONLY, run_id=RunIdentifier(run_name=name, run_time=moment)
        )
    except (sa.exc.SQLAlchemyError, GreatExpectationsError, TestConnectionError) as error:
        raise _unfinished(f"{type(error).__name__}: {error}") from error


def _identifier(
    suite_name: str, result: ExpectationSuiteValidationResult, name: str, moment: datetime
) -> ValidationResultIdentifier:
    return ValidationResultIdentifier(
        expectation_suite_identifier=ExpectationSuiteIdentifier(suite_name),
        run_id=RunIdentifier(run_name=name, run_time=moment),
        batch_identifier=result.batch_id,
    )


def _raise_if_not_evaluated(
    home: Path, identifier: ValidationResultIdentifier, result: ExpectationSuiteValidationResult
) -> None:
    raised = {_rule(r): _exception(r) for r in result.results if _exception(r)}
    if not raised:
        return
    # A traceback may quote a row, so nothing of this run is kept.
    run = identifier.run_id.run_name
    shutil.rmtree(
        home / RESULTS / identifier.expectation_suite_identifier.name / run, ignore_errors=True
    )
    rule, exception = next(iter(raised.items()))
    if "OperationalError" in exception:
        raise _unfinished("the connection was lost")
    raise Refused(
        f"{len(raised)} expectations could not be evaluated, first {rule}: "
        f"{exception.strip().splitlines()[-1].split(':')[0]}. That is not taken for a pass. "
        "Compare the columns and types of the table with docs/tables.md."
    )


def _unfinished(reason: str) -> TemporaryFailure:
    return TemporaryFailure(
        f"The checks did not finish: {reason.splitlines()[0]}. Check that Postgres runs; "
        "the step can simply be run again."
    )


def _exception(result: ExpectationValidationResult) -> str:
    """Return the traceback of an expectation that raised, else nothing."""
    info: dict[str, Any] = result.exception_info or {}
    # Either the information itself, or one for each metric that raised.
    parts = [info] if "raised_exception" in info else list(info.values())
    return "".join(str(p["exception_traceback"]) for p in parts if p.get("raised_exception"))


def _rule(result: ExpectationValidationResult) -> str:
    """Return the name of an expectation with the columns it is about."""
    config = result.expectation_config
    if config is None:
        return "an expectation without a name"
    about = [config.kwargs[k] for k in ("column", "column_A", "column_B") if k in config.kwargs]
    return f"{config.type}({', '.join(about)})"


def _severity(result: ExpectationValidationResult) -> str:
    severity = result.expectation_config and result.expectation_config.severity
    return str(getattr(severity, "value", "critical"))


def _relative(address: str, home: Path) -> str:
    path = unquote(address.removeprefix("file://"))
    return str(Path(path).relative_to(home))
