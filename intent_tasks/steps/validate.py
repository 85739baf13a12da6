"""Check a day's events, and the products and customers of the shop, against the contract."""

from datetime import date

from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger, postgres
from intent_tasks.stores.contracts import consent_profile, contract, profile
from intent_tasks.stores.privacy import consent_record


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Check what the day is predicted from.

    Raises:
        Refused: a rule that stops the day is broken, or one could not be judged; names the rule,
            what was observed, what is allowed, and the page; or the shop recorded consent before
            and does not any more.
        BadInput: the thresholds cannot be used.
    """
    found, consent = _measured(settings, as_of_date)
    results = [contract.judge(settings, as_of_date, of) for of in found]
    contract.refuse(settings, f"What arrived on {as_of_date} breaks the contract", results)
    receipt = {
        "as_of_date": str(as_of_date),
        "rules": sum(len(r.measured.bounds) for r in results),
        "failed": [f"{r.measured.suite}.{name}" for r in results for name in r.broken],
        "data_docs": results[0].page,
        consent_record.KEPT: consent and consent.kept,
    }
    return ledger.finish_step(settings, "validate", as_of_date, receipt)


def _measured(
    settings: Settings, as_of_date: date
) -> tuple[list[contract.Measured], consent_profile.Consented | None]:
    limits = contract.in_force(settings)
    usual = profile.usual_rows(settings, as_of_date)
    with postgres.reading(settings.shop_url) as connection:
        found = [
            profile.day_of_events(
                connection, settings.definition, limits["events"], as_of_date, usual
            ),
            *(profile.table(connection, suite, limits[suite]) for suite in profile.TABLES),
        ]
        consent = consent_profile.day_of_consent(
            connection, settings, limits["customers"], as_of_date
        )
    there = [one for one in found if one is not None]
    if consent is not None:
        there[-1] = consent.beside(there[-1])
    return there, consent
