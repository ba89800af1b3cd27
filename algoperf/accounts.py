"""The accounts of a trial's clock. No jax."""

from enum import StrEnum


class Account(StrEnum):
    """What time is spent on. The first four are submission time: what the rules count. The last is
    set-up and compilation that a trial had behind it when it was cut off, and did again."""

    INIT = "init"
    DATA = "data"
    UPDATE = "update"
    PARAMS_FOR_EVALUATION = "params_for_evaluation"
    EVALUATION = "evaluation"
    LOGGING = "logging"
    SETUP = "setup"
    COMPILATION = "compilation"
    REPEATED = "repeated"


SUBMISSION = (Account.INIT, Account.DATA, Account.UPDATE, Account.PARAMS_FOR_EVALUATION)
