// RMSProp; the formulas are in rmsprop.py. A thread an element, range by range.
#include "counters.cuh"
#include "grid.cuh"

extern "C" __global__ void rmsprop(
    REAL* p,
    const REAL* g,
    REAL* square,
    REAL* mean,
    REAL* velocity,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    long long ranges,
    long long columns,
    int centered,
    int moving) {
    if (counters[FAILED] >= 0) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL lr = row[0], alpha = row[1], gain = row[2], eps = row[3], momentum = row[4];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = lr * factors[2 * r], decay = factors[2 * r + 1];
        for (long long i = bounds[2 * r] + first_item(); i < bounds[2 * r + 1]; i += items_at_once()) {
            REAL d = g[i] * scale + decay * p[i];
            REAL s = alpha * square[i] + gain * d * d;
            square[i] = s;
            if (centered) {
                const REAL m = alpha * mean[i] + gain * d;
                mean[i] = m;
                s -= m * m;
            }
            d = d / (sqrt(s) + eps);
            if (moving) {
                d = momentum * velocity[i] + d;
                velocity[i] = d;
            }
            p[i] -= rate * d;
        }
    }
}
