"""Errors meant for people: what happened, to which thing, and what to do about it."""


class ErrataError(Exception):
    """Anything a person can mend; the command line and the pages show its message as it is."""


class InputError(ErrataError):
    """What was given cannot be used; nothing was written."""


class WorkspaceError(ErrataError):
    """A folder that is no workspace, is of a newer format, or lacks the thing asked for."""


class LockedError(ErrataError):
    """Somebody else is publishing the same artefact."""


class StaleInputError(ErrataError):
    """An input changed while a result was computed from it; the result was not published."""
