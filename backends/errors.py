"""The exceptions of Gearshift.

`GearshiftError` is the root. Each class also derives from the built-in exception that a Python user would
expect (`ValueError`, `RuntimeError`, …), so ``except ValueError`` keeps working.
"""

from __future__ import annotations


class GearshiftError(Exception):
    """Base class of all Gearshift errors; the message is written for the user."""


class UserError(GearshiftError):
    """Base class of errors that the user can fix; the command line exits with status 2."""


class ConfigurationError(UserError, ValueError):
    """A configuration or an argument is wrong; the message names the key, the value and what was expected."""


class ShapeError(UserError, ValueError):
    """Arrays or layers do not fit together."""


class DataError(UserError, ValueError):
    """A data set is unreadable, empty, not finite, or does not fit the model."""


class CheckpointError(UserError, ValueError):
    """A checkpoint is unreadable, truncated, malicious, of another program, or does not fit the model."""


class BackendUnavailable(UserError, RuntimeError):
    """A requested backend cannot run; the message names the missing piece and how to install it."""


class RunLocked(UserError, RuntimeError):
    """Another process is writing to the same run directory."""


class RunMoved(GearshiftError, OSError):
    """A run directory was renamed or deleted during training."""


class NonFiniteLoss(GearshiftError, ArithmeticError):
    """The loss became NaN or infinite; the message names the step, the learning rate and the layer."""


class DeviceMemoryError(GearshiftError, MemoryError):
    """A device does not have enough free memory."""


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error or its cause is a failed memory allocation, also one while loading a library."""
    while error is not None:
        if isinstance(error, MemoryError) or any(
            sign in str(error) for sign in ("failed to map segment", "annot allocate memory")
        ):
            return True
        error = error.__cause__ or error.__context__
    return False
