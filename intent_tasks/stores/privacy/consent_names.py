"""Names under which a shop records consent, other than the names of the contract."""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable

PERSONALISATION, MARKETING, SUPPRESSED = COLUMNS = (
    "consent_personalisation", "consent_marketing", "suppressed",
)  # fmt: skip

_GENERAL = re.compile(
    "consen[st]|gdpr|dsgvo|rgpd|lgpd|ccpa|personali[sz]|profiling|profilage|profilering"
    "|einwillig|zustimm|toestemm|samtyck|samtykk|suostum|souhlas|zgoda|permission"
    "|opt(ed)?_?(in|out)|accepts?_|do_?not_|unsubscri"
    "|track(ing)?_(allow|ok|enabl|permit|accept)|(^|_)allows?_|_allowed$|(^|_)agree(s|d)?(_|$)"
)
"""Agreement to anything, so perhaps to personalisation."""

_MARKETING = re.compile(
    "newsletter|mailing_?list|subscribed|rundbrief|nyhetsbrev|nyhedsbrev|nieuwsbrief|infolettre"
    "|boletin|uutiskirje|opt(ed)?_?in|accepts?_|acepta_|accepte_"
    "|(marketing|e?mail|sms|push|contact|werbe|ads?)_"
    "(ok|consent|permission|allowed|enabled|agreed|preference|status|approv|erlaub|einwillig)"
    "|consent.*(market|mail|sms|contact)|(may|can|darf)_.*(contact|mail|market|werb)|werbung"
)
"""Agreement to offers."""

_SUPPRESSED = re.compile(
    "suppress|unsubscri|opt(ed)?_?out|do_?not_|dont_|block|blacklist|denylist|(^|_)banned(_|$)"
    "|(^|_)no_(e?mail|contact|sms|marketing|ads?|tracking|profil|news|call|phone)"
    "|sperr|widerspr|widerruf|abgemeld|abbestell|desinscri|desabonn|oppos(e|ition|izione)|refus"
    "|de_baja|disiscri|avregistr|avanmal|afmeld|afgemeld|uitgeschreven|geblok|objection|objected"
    "|withdr[ae]wn?|revoked?(_|$)|robinson"
)
"""Refusal."""


def find_similar(
    names: Iterable[str],
    present: Collection[str],
    accepted: Collection[str],
    *,
    keeps_answers: bool = False,
) -> list[str]:
    """Return names that seem to hold consent which no column of the contract holds.

    Args:
        names: columns or fields that fill no column of the contract.
        present: columns of consent that there are.
        accepted: names of which a person knows that they are no consent.
        keeps_answers: without a column, customers keep their answers; else nobody agrees to it.
    """
    patterns = [pattern for column, pattern in _BY_COLUMN.items() if column not in present]
    if PERSONALISATION in present and not keeps_answers and MARKETING not in present:
        patterns.remove(_MARKETING)
        patterns.append(_OF_MARKETING)
    left_out = {_folded(name) for name in accepted}
    folded = {name: _folded(name) for name in sorted(set(names))}
    return [
        name
        for name, text in folded.items()
        if text not in left_out and _is_similar(text, patterns, present)
    ]


def _is_similar(text: str, patterns: list[re.Pattern[str]], present: Collection[str]) -> bool:
    """Return whether a name is one of these columns in another spelling, or fits a pattern.

    What begins like a present column describes it, such as when it was given; unless it
    refuses.
    """
    if text.replace("_", "") in _SQUEEZED:
        return True
    if any(text.startswith(f"{column}_") for column in present):
        patterns = [pattern for pattern in patterns if pattern is _SUPPRESSED]
    return any(pattern.search(text) for pattern in patterns)


_OF_MARKETING = re.compile("consent.*market|market.*consent")
_BY_COLUMN = {PERSONALISATION: _GENERAL, MARKETING: _MARKETING, SUPPRESSED: _SUPPRESSED}
_SQUEEZED = {column.replace("_", "") for column in COLUMNS}


def _folded(name: str) -> str:
    """Return a name in lower case, without accents, and with `_` between its words."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    letters = unicodedata.normalize("NFKD", words).casefold()
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", "_", plain).strip("_")


def accept(found: Collection[str], accepted: Collection[str]) -> str:
    """Return the line of configuration that accepts these names too."""
    return f"INTENT_NO_CONSENT_COLUMNS='{json.dumps([*accepted, *found], ensure_ascii=False)}'"
