"""Where a run's counters stand in their array (int64), which lives where the training runs.

They advance on the device, so that a step is a fixed list of calls that never asks the host for a number.
"""

STEP = 0  # steps taken since the run began: indexes the random streams
CURSOR = 1  # position of the next batch in the order of the epoch, in rows
ROW = 2  # row of the schedule table that this step reads
FAILED = 3  # first step whose loss was not finite, else -1: updates are off from there on
SKIP = 4  # 1 where this step leaves the parameters as they are, because its gradient is not finite
COUNTERS = 5
