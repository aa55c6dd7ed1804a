// L1 regularisation: its subgradient and soft-thresholding; the formulas are in l1.py.
#include "counters.cuh"
#include "elements.cuh"

__device__ inline void add_subgradient(
    const REAL* p, REAL* g, const long long* bounds, const REAL* weights, long long ranges, REAL strength) {
    for (long long r = 0; r < ranges; ++r) {
        const REAL size = strength * weights[r];
        const auto body = [=](REAL p, REAL& g) { g += p > 0 ? size : p < 0 ? -size : (REAL)0; };
        for_elements(bounds[2 * r], bounds[2 * r + 1], body, reads(p), changes(g));
    }
}

extern "C" __global__ void l1_subgradient(
    const REAL* p, REAL* g, const long long* bounds, const REAL* weights, long long ranges, double strength) {
    add_subgradient(p, g, bounds, weights, ranges, (REAL)strength);
}

// For gradients times scale[0].
extern "C" __global__ void l1_scaled(
    const REAL* p,
    REAL* g,
    const long long* bounds,
    const REAL* weights,
    const REAL* scale,
    long long ranges,
    double strength) {
    add_subgradient(p, g, bounds, weights, ranges, (REAL)(strength * scale[0]));
}

extern "C" __global__ void soft_threshold(
    REAL* p,
    const long long* bounds,
    const REAL* factors,
    const REAL* weights,
    const REAL* rates,
    const long long* counters,
    long long ranges,
    double strength) {
    if (updates_are_off(counters)) return;
    const REAL rate = (REAL)strength * rates[counters[ROW]];
    for (long long r = 0; r < ranges; ++r) {
        const REAL bound = rate * factors[2 * r] * weights[r];
        // v * 0 and not 0, so that NaN stays NaN
        const auto body = [=](REAL& v) { v = v > bound ? v - bound : v < -bound ? v + bound : v * 0; };
        for_elements(bounds[2 * r], bounds[2 * r + 1], body, changes(p));
    }
}
