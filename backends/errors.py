"""The errors that Gearshift raises on purpose.

`GearshiftError` is the root. Each class also derives from the built-in exception that a Python user would
expect (`ValueError`, `RuntimeError`, …), so ``except ValueError`` keeps working.
"""

from __future__ import annotations


class GearshiftError(Exception):
    """Root of every error raised on purpose; its message is meant to be read by the user."""


class UserError(GearshiftError):
    """Root of the errors that the user can mend: the command line exits with 2 for these."""


class ConfigurationError(UserError, ValueError):
    """A configuration or an argument is wrong; the message names the key, the value and what was expected."""


class ShapeError(UserError, ValueError):
    """Arrays or layers do not fit together."""


class DataError(UserError, ValueError):
    """A data set is unreadable, empty, not finite, or does not fit the model."""


class CheckpointError(UserError, ValueError):
    """A checkpoint is unreadable, truncated, foreign, hostile, or does not fit the model."""


class BackendUnavailable(UserError, RuntimeError):
    """A backend asked for by name cannot run here; the message names the missing piece and how to install it."""


class RunLocked(UserError, RuntimeError):
    """Another process is writing to the same run directory."""


class RunMoved(GearshiftError, OSError):
    """A run directory was renamed or deleted while a training wrote to it."""


class NonFiniteLoss(GearshiftError, ArithmeticError):
    """The loss turned NaN or infinite; the message names the step, the learning rate and the layer."""


class DeviceMemoryError(GearshiftError, MemoryError):
    """A device has too little free memory for what was asked."""


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, is that the system gave no memory, also for loading a library."""
    while error is not None:
        if isinstance(error, MemoryError) or any(
            sign in str(error) for sign in ("failed to map segment", "annot allocate memory")
        ):
            return True
        error = error.__cause__ or error.__context__
    return False
