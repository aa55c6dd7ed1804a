// Stochastic gradient descent with momentum; the formulas are in sgd.py. A thread an element, range by range.
#include "counters.cuh"
#include "grid.cuh"

extern "C" __global__ void sgd(
    REAL* p,
    const REAL* g,
    REAL* velocity,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    long long ranges,
    long long columns,
    int moving) {
    if (counters[FAILED] >= 0) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL lr = row[0], momentum = row[1], gain = row[2], ahead = row[3], carry = row[4];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = lr * factors[2 * r], decay = factors[2 * r + 1];
        for (long long i = bounds[2 * r] + first_item(); i < bounds[2 * r + 1]; i += items_at_once()) {
            REAL d = g[i] * scale + decay * p[i];
            if (moving) {
                const REAL v = momentum * velocity[i] + gain * d;
                velocity[i] = v;
                d = ahead * d + carry * v;
            }
            p[i] -= rate * d;
        }
    }
}
