// Clipping by value. NaN stays NaN.
#include "elements.cuh"

extern "C" __global__ void clip_values(REAL* g, long long size, double bound) {
    const REAL high = bound;
    for_elements(0, size, [=](REAL& g) { g = g > high ? high : g < -high ? -high : g; }, changes(g));
}
