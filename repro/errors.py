"""The one exception a user is meant to read: what is wrong, where, and what to do about it."""


class ReproError(Exception):
    """Bad input or a missing part. The message names the offending value and the remedy."""
