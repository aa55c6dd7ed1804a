// AdaGrad; the formulas are in adagrad.py. A thread an element, range by range.
#include "counters.cuh"
#include "grid.cuh"

extern "C" __global__ void adagrad(
    REAL* p,
    const REAL* g,
    REAL* square,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    long long ranges,
    long long columns) {
    if (counters[FAILED] >= 0) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL lr = row[0], begin = row[1], eps = row[2];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = lr * factors[2 * r], decay = factors[2 * r + 1];
        for (long long i = bounds[2 * r] + first_item(); i < bounds[2 * r + 1]; i += items_at_once()) {
            const REAL d = g[i] * scale + decay * p[i];
            const REAL s = square[i] + d * d;
            square[i] = s;
            p[i] -= rate * (d / (sqrt(begin + s) + eps));
        }
    }
}
