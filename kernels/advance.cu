// Moves a run's counters to the next step, in one thread.
#include "counters.cuh"
#include "grid.cuh"

extern "C" __global__ void advance(long long* counters, long long rows) {
    if (first_item() > 0) return;
    counters[STEP] += 1;
    counters[ROW] += 1;
    counters[CURSOR] += rows;
    counters[SKIP] = 0;
}
