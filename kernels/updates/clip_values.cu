// Clipping by value. NaN stays NaN.
#include "elements.cuh"

extern "C" __global__ void clip_values(REAL* g, long long size, double bound) {
    const REAL high = bound;
    for_elements(0, size, [=](REAL& g) { g = g > high ? high : g < -high ? -high : g; }, changes(g));
}

// For gradients times scale[0]. g - g is 0 but of what is not finite: that becomes NaN.
extern "C" __global__ void clip_scaled(REAL* g, const REAL* scale, long long size, double bound) {
    const REAL high = bound * scale[0];
    const auto body = [=](REAL& g) { g = g > high ? high + (g - g) : g < -high ? (g - g) - high : g; };
    for_elements(0, size, body, changes(g));
}
