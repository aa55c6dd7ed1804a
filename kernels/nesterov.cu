// Nesterov's momentum; the formulas are in nesterov.py. A thread an element, range by range.
#include "counters.cuh"
#include "grid.cuh"

extern "C" __global__ void nesterov_ahead(
    REAL* p,
    const REAL* g,
    const REAL* velocity,
    REAL* origin,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    long long ranges,
    long long columns) {
    if (counters[FAILED] >= 0) return;
    const REAL alpha = table[counters[ROW] * columns + 1];
    for (long long r = 0; r < ranges; ++r) {
        for (long long i = bounds[2 * r] + first_item(); i < bounds[2 * r + 1]; i += items_at_once()) {
            origin[i] = p[i];
            p[i] += alpha * velocity[i];
        }
    }
}

extern "C" __global__ void nesterov(
    REAL* p,
    const REAL* g,
    REAL* velocity,
    const REAL* origin,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    long long ranges,
    long long columns) {
    const bool failed = counters[FAILED] >= 0, back = counters[FAILED] == counters[STEP];
    if (failed && !back) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL lr = row[0], alpha = row[1];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = lr * factors[2 * r], decay = factors[2 * r + 1];
        for (long long i = bounds[2 * r] + first_item(); i < bounds[2 * r + 1]; i += items_at_once()) {
            if (back) {
                p[i] = origin[i];
                continue;
            }
            const REAL d = g[i] * scale + decay * p[i];
            const REAL v = alpha * velocity[i] - rate * d;
            velocity[i] = v;
            p[i] = origin[i] + v;
        }
    }
}
