"""Indices of a run's counters in their int64 array on the device.

The counters advance on the device, so a step is a fixed sequence of calls that never waits for the host.
"""

STEP = 0  # steps since the run began; indexes the random streams
CURSOR = 1  # position of the next batch in the order of the epoch, in rows
ROW = 2  # row of the schedule table that this step reads
FAILED = 3  # first step whose loss was not finite, or -1; updates are off from then on
SKIP = 4  # 1 if this step does not update the parameters because its gradient is not finite
FIRST = 5  # row of the whole batch that this step's first row is; not 0 where a batch is processed in parts
COUNTERS = 6
