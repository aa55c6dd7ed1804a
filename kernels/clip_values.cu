// Clipping by value, a thread an element. NaN stays NaN.
#include "grid.cuh"

extern "C" __global__ void clip_values(REAL* g, long long size, double bound) {
    const REAL high = bound;
    for (long long i = first_item(); i < size; i += items_at_once()) {
        const REAL v = g[i];
        g[i] = v > high ? high : v < -high ? -high : v;
    }
}
