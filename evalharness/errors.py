"""The errors that a user can cause or must act on; the command line shows no traceback for them."""


class EvalHarnessError(Exception):
    """Base of all: the message says what happened, where, and what to do about it."""


class InputError(EvalHarnessError):
    """A flag, a definition file or a data file that the user gave is wrong."""


class DataError(EvalHarnessError):
    """Benchmark data is missing or is not what its definition says."""


class EngineError(EvalHarnessError):
    """A model or an engine can't do what was asked."""


class EngineBrokeError(EngineError):
    """The engine failed in the middle of its work; a fresh one may go on."""


class StoreError(EvalHarnessError):
    """A run folder can't be read, written or continued."""


class TrainingError(EvalHarnessError):
    """A training run can't go on; its last checkpoint is intact."""


class MissingExtraError(EvalHarnessError):
    """A package of an optional extra isn't installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs the extra [{extra}]: pip install "evalharness[{extra}]"')
