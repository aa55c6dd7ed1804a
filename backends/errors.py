"""The exceptions of Gearshift.

`GearshiftError` is the root. Each class also derives from the built-in exception that a Python user would
expect (`ValueError`, `RuntimeError`, …), so ``except ValueError`` keeps working.
"""

from __future__ import annotations


class GearshiftError(Exception):
    """Base class of all Gearshift errors; the message is written for the user.

    Examples
    --------
    >>> try:
    ...     gs.load("nowhere.safetensors")
    ... except gs.GearshiftError as error:  # any error that Gearshift raises itself
    ...     print(error)
    cannot load nowhere.safetensors: No such file or directory
    """


class UserError(GearshiftError):
    """Base class of errors that the user can fix; the command line exits with status 2."""


class ConfigurationError(UserError, ValueError):
    """A configuration or an argument is wrong; the message names the key, the value and what was expected.

    Examples
    --------
    >>> try:
    ...     gs.Adam(lr=-1)
    ... except gs.ConfigurationError as error:
    ...     print(error)
    Adam: lr is -1; expected a finite number of at least 0
    """


class ShapeError(UserError, ValueError):
    """Arrays or layers do not fit together.

    Examples
    --------
    >>> try:
    ...     model(np.ones((5, 3)))  # a model of 64 features
    ... except gs.ShapeError as error:
    ...     print(error)
    layer 0: Linear expects 64 features a row, but gets rows of shape (3,)
    """


class DataError(UserError, ValueError):
    """A data set is unreadable, empty, not finite, or does not fit the model.

    Examples
    --------
    >>> try:
    ...     gs.Dataset([[1.0, np.nan]])
    ... except gs.DataError as error:
    ...     print(error)
    x[0, 1] is nan (row 0, column 1), expected finite numbers
    """


class CheckpointError(UserError, ValueError):
    """A checkpoint is unreadable, truncated, malicious, of another program, or does not fit the model.

    Examples
    --------
    >>> try:
    ...     gs.Sequential(gs.Linear(64, 3)).load_state_dict(model.state_dict())  # `model` has 10 outputs
    ... except gs.CheckpointError as error:
    ...     print(error)
    tensor '0.weight' has shape (64, 10), the model expects (64, 3)
    """


class BackendUnavailable(UserError, RuntimeError):
    """A requested backend cannot run; the message names the missing piece and how to install it.

    Examples
    --------
    >>> try:
    ...     backend = gs.backends.get("cupy")
    ... except gs.BackendUnavailable as error:
    ...     backend = gs.backends.get("numba")
    """


class RunLocked(UserError, RuntimeError):
    """Another process is writing to the same run directory."""


class RunMoved(GearshiftError, OSError):
    """A run directory was renamed or deleted during training."""


class NonFiniteLoss(GearshiftError, ArithmeticError):
    """The loss became NaN or infinite; the message names the step, the learning rate and the layer.

    Examples
    --------
    >>> trainer = gs.Trainer(gs.Sequential(gs.Linear(64, 1)), gs.MSELoss(), gs.SGD(lr=1e30))
    >>> try:
    ...     trainer.fit(x, y, epochs=1, verbose=False)
    ... except gs.NonFiniteLoss:
    ...     trainer.optimizer.lr = 1e-4  # the weights are those before the step
    """


class DeviceMemoryError(GearshiftError, MemoryError):
    """A device does not have enough free memory.

    Examples
    --------
    >>> try:
    ...     history = trainer.fit(x, y, batch_size=512, epochs=1, verbose=False)
    ... except gs.DeviceMemoryError:
    ...     trainer.to("numba")  # goes on with the CPU's memory
    """


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error or its cause is a failed memory allocation, also one while loading a library."""
    while error is not None:
        if isinstance(error, MemoryError) or any(
            sign in str(error) for sign in ("failed to map segment", "annot allocate memory")
        ):
            return True
        error = error.__cause__ or error.__context__
    return False
