"""The one exception for everything a user can put right."""


class InputError(ValueError):
    """A file, field or flag that the user has to correct.

    what: the file, field or flag, the value found there and the value expected.
    fix:  the command or edit that repairs it; None where `what` makes it clear.
    """

    def __init__(self, what, fix=None):
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self):
        return self.what if self.fix is None else f"{self.what}\n  {self.fix}"
