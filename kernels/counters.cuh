// Where a run's counters stand in their array; the same as counters.py.
#pragma once

enum Counter { STEP, CURSOR, ROW, FAILED, SKIP, FIRST, COUNTERS };

// Whether this step leaves the parameters as they are.
__device__ inline bool updates_are_off(const long long* counters) { return counters[FAILED] >= 0 || counters[SKIP]; }
