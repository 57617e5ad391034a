"""Errors that a user can mend."""


class InputError(ValueError):
    """Bad input from outside: a file, a record or a configuration value.

    The message is one sentence that names the file, record or field, the value found, and the
    remedy. The command line prints it and ends with exit code 2.
    """


class WriteError(InputError, OSError):
    """Something could not be written: a full disk, a folder for reading only, a name too long.

    The message is one sentence with the file and what the operating system says.
    """


def require(condition: bool, message: str) -> None:
    """Raise `ValueError(message)` unless the static `condition` holds."""
    if not condition:
        raise ValueError(message)
