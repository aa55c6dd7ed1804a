// Where a run's counters stand in their array; the same as counters.py.
#pragma once

enum Counter { STEP, CURSOR, ROW, FAILED, COUNTERS };
