// Polyak's momentum; the formulas are in momentum.py. A thread an element, range by range.
#include "counters.cuh"
#include "grid.cuh"

extern "C" __global__ void momentum(
    REAL* p,
    const REAL* g,
    REAL* velocity,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    long long ranges,
    long long columns) {
    if (counters[FAILED] >= 0) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL lr = row[0], alpha = row[1];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = lr * factors[2 * r], decay = factors[2 * r + 1];
        for (long long i = bounds[2 * r] + first_item(); i < bounds[2 * r + 1]; i += items_at_once()) {
            const REAL d = g[i] * scale + decay * p[i];
            const REAL v = alpha * velocity[i] - rate * d;
            velocity[i] = v;
            p[i] += v;
        }
    }
}
