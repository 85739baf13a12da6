"""Judge a profile with Great Expectations, and write its results as pages without row values.

Great Expectations gets the row of numbers, not the query that computes it: it would run the query
once for each expectation.
"""

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import great_expectations as gx
import pandas as pd
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
from great_expectations.exceptions import GreatExpectationsError

from intent_tasks.errors import Refused
from intent_tasks.stores.atomic_files import private_files, private_folder

COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0}
"""Format of results: without samples of values, which would be personal data."""

MOST_LISTED = 60
"""Results in the index, the newest ones. Each check writes the whole index, so that without a limit
each day would take longer than the day before."""

PAGES = "data_docs"
RESULTS = "validation_results"


class Judged(NamedTuple):
    """The judgement of a suite: rule → true if the number is within its bound; path of the page."""

    kept: dict[str, bool]
    page: str


def judge(
    home: Path,
    suite: gx.ExpectationSuite,
    numbers: Mapping[str, float | None],
    name: str,
    moment: datetime,
) -> Judged:
    """Compare numbers with a suite and write its page.

    Args:
        home: state folder; pages go to `data_docs/`.
        suite: one expectation for each column.
        numbers: the one row, by column; None, where nothing could be measured, breaks its rule.
        name: of the run, such as the shop day; a second run replaces the page of the first.
        moment: time of the run in its path; the same for the same name.

    Raises:
        Refused: an expectation could not be evaluated, which counts as broken.
    """
    with _one_at_a_time(home):
        context = _context(home)
        result = _validate(context, suite, numbers, name, moment)
        identifier = _identifier(suite.name, result, name, moment)
        _raise_if_not_evaluated(home, identifier, result)
        context.build_data_docs(resource_identifiers=[identifier])
        (page,) = context.get_docs_sites_urls(resource_identifier=identifier)
    kept = {_rule(r): bool(r.success) for r in result.results}
    return Judged(kept, _relative(str(page["site_url"]), home))


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Lock the pages: days are checked in parallel, but the index is one file."""
    private_folder(home)
    with private_files(), (home / f"{RESULTS}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _context(home: Path) -> EphemeralDataContext:
    """Return a context with results and pages on disk and everything else in memory."""
    defaults = InMemoryStoreBackendDefaults()
    defaults.stores[defaults.validation_results_store_name]["store_backend"] = _folder(
        home / RESULTS
    )
    defaults.data_docs_sites = {
        "local": {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": _folder(home / PAGES),
            "site_index_builder": {
                "class_name": "DefaultSiteIndexBuilder",
                "validation_results_limit": MOST_LISTED,
            },
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
    suite: gx.ExpectationSuite,
    numbers: Mapping[str, float | None],
    name: str,
    moment: datetime,
) -> ExpectationSuiteValidationResult:
    row = pd.DataFrame({rule: [number] for rule, number in numbers.items()}, dtype="float64")
    try:
        measured = context.data_sources.add_pandas("measured").add_dataframe_asset(suite.name)
        definition = gx.ValidationDefinition(
            name=suite.name,
            data=measured.add_batch_definition_whole_dataframe(name),
            suite=context.suites.add(suite),
        )
        return context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": row},
            result_format=COUNTS_ONLY,
            run_id=RunIdentifier(run_name=name, run_time=moment),
        )
    except GreatExpectationsError as error:
        raise Refused(
            f"The checks of {suite.name} could not be made: {type(error).__name__}. That is not "
            "taken for a pass."
        ) from error


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
    # A traceback may quote a row, so the results of this run are deleted.
    run = identifier.run_id.run_name
    shutil.rmtree(
        home / RESULTS / identifier.expectation_suite_identifier.name / run, ignore_errors=True
    )
    rule, exception = next(iter(raised.items()))
    raise Refused(
        f"{len(raised)} rules could not be judged, first {rule}: "
        f"{exception.strip().splitlines()[-1].split(':')[0]}. That is not taken for a pass. "
        "Look at the thresholds in force with `intent contract show`."
    )


def _exception(result: ExpectationValidationResult) -> str:
    """Return the traceback of an expectation that raised, or an empty text."""
    info: dict[str, Any] = result.exception_info or {}
    # One dictionary, or one for each metric that raised.
    parts = [info] if "raised_exception" in info else list(info.values())
    return "".join(str(p["exception_traceback"]) for p in parts if p.get("raised_exception"))


def _rule(result: ExpectationValidationResult) -> str:
    """Return the rule of an expectation."""
    config = result.expectation_config
    return str(config.kwargs["column"]) if config else "a rule without a name"


def _relative(address: str, home: Path) -> str:
    path = unquote(address.removeprefix("file://"))
    return str(Path(path).relative_to(home))
