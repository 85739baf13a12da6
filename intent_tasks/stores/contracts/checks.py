"""The checks of the contract that steps make: of the shop, a training set and predictions.

Each check measures a profile, judges it by the thresholds in force, writes its page and its
results, and refuses the day when a rule is broken that stops it.
"""

from datetime import date
from typing import Any, NamedTuple

import sqlalchemy as sa

from intent_tasks.core.dataset_profile import DatasetProfile
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.stores.contracts import consent_profile, contract, prediction_profile, profile
from intent_tasks.stores.contracts.consent_profile import ConsentProfile
from intent_tasks.stores.contracts.contract import Result
from intent_tasks.stores.contracts.profile import Profile


class ShopCheck(NamedTuple):
    """The judgements of the shop's tables, and what the receipt records of consent."""

    results: list[Result]
    consent_record: dict[str, Any] | None


def check_shop(settings: Settings, as_of_date: date) -> ShopCheck:
    """Check the events that arrived on a shop day, and the lists of products and customers.

    Raises:
        Refused: a rule that stops the day is broken, or one could not be judged.
        BadInput: the thresholds cannot be used.
    """
    profiles, consent = _profile_shop(settings, as_of_date)
    results = [contract.judge(settings, as_of_date, each) for each in profiles]
    contract.refuse(settings, f"What arrived on {as_of_date} breaks the contract", results)
    return ShopCheck(results, consent and consent.record)


def _profile_shop(
    settings: Settings, as_of_date: date
) -> tuple[list[Profile], ConsentProfile | None]:
    limits = contract.in_force(settings)
    usual_rows = profile.usual_rows(settings, as_of_date)
    with postgres.reading(settings.shop_url) as connection:
        profiles = [
            profile.profile_events(
                connection, settings.definition, limits["events"], as_of_date, usual_rows
            ),
            *(profile.profile_table(connection, s, limits[s]) for s in profile.TABLES),
        ]
        consent = consent_profile.profile_consent(
            connection, settings, limits["customers"], as_of_date
        )
    existing = [each for each in profiles if each is not None]
    if consent is not None:
        existing[-1] = consent.added_to(existing[-1])
    return existing, consent


def check_training_set(settings: Settings, as_of_date: date, found: DatasetProfile) -> Result:
    """Check a training set before anything is fitted.

    Args:
        settings: of this installation.
        as_of_date: shop day of the training.
        found: numbers of its splits.

    Raises:
        Refused: as `check_shop`.
        BadInput: as `check_shop`.
    """
    limits = contract.in_force(settings)["training_set"]
    measured = profile.profile_training_set(found, limits)
    result = contract.judge(settings, as_of_date, measured)
    contract.refuse(
        settings,
        f"The training set of {as_of_date} breaks the contract",
        [result],
        "Nothing was learned from it, and the version that serves stays.",
    )
    return result


def check_predictions(
    settings: Settings,
    connection: sa.Connection,
    as_of_date: date,
    pin_receipt: dict[str, Any],
    scored: int,
) -> Result:
    """Check the predictions of a day before they are committed.

    Args:
        settings: of this installation.
        connection: the transaction that writes them.
        as_of_date: shop day.
        pin_receipt: of the step `pin`.
        scored: customers who were scored.

    Raises:
        Refused: as `check_shop`; the caller's transaction is rolled back.
        BadInput: as `check_shop`.
    """
    limits = contract.in_force(settings)["predictions"]
    pinned = prediction_profile.Pinned.of(pin_receipt)
    measured = prediction_profile.profile_predictions(
        connection, limits, as_of_date, pinned, scored
    )
    result = contract.judge(settings, as_of_date, measured)
    contract.refuse(settings, f"The predictions of {as_of_date} break the contract", [result])
    return result
