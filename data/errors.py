"""The one exception for everything a user can put right."""


class InputError(ValueError):
    """A file, field or flag is not what it must be.

    what: which file, field or flag, what was found there and what was expected.
    fix:  the command or edit that repairs it, or None when `what` says it all.
    """

    def __init__(self, what, fix=None):
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self):
        return self.what if self.fix is None else "{}\n  {}".format(self.what, self.fix)
