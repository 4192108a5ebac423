"""The error that the command line prints as one line."""


class TrainerError(Exception):
    """Something a user can mend: says what is wrong, where, and what to do. Exit code 2."""


class RunFailed(TrainerError):
    """Something that went wrong during the work itself. Exit code 1."""


def unknown_name(what: str, name: str, known: list[str]) -> TrainerError:
    """The error for a name that is not there: lists the valid ones, the nearest first."""
    import difflib

    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    ordered = near + [other for other in known if other not in near]
    return TrainerError(f"{what} '{name}' is not known; there are: {', '.join(ordered)}")
