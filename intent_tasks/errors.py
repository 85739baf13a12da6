"""The failures of a step, as one tree.

IntentError            a foreseen failure, with a message for a person; exit code 1
├── TemporaryFailure   a database, server or disk failed; exit code 75, retried
├── Refused            a rule refuses the work; a retry does not help; exit code 78
│   └── BadInput       an input cannot be used; names the field and the allowed values
└── NothingToDo        there is no work for this day; exit code 99, a skip

Every message tells what happened and what to do.
"""


class IntentError(Exception):
    """A failure that was foreseen; its message is for a person.

    Args:
        message: what happened and what to do about it.
        page: below INTENT_HOME, that shows more, such as the Data Docs of a refused day.
    """

    exit_code = 1

    def __init__(self, message: str = "", page: str | None = None) -> None:
        super().__init__(message)
        self.page = page


class TemporaryFailure(IntentError):
    """The surroundings failed; the same call may work in a minute."""

    exit_code = 75


class Refused(IntentError):
    """A rule refuses the work; calling again changes nothing."""

    exit_code = 78


class BadInput(Refused):
    """A file, option or column that cannot be used."""


class NothingToDo(IntentError):
    """There is nothing to do for this call."""

    exit_code = 99
