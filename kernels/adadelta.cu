// AdaDelta; the formulas are in adadelta.py. A thread an element, range by range.
#include "counters.cuh"
#include "grid.cuh"

extern "C" __global__ void adadelta(
    REAL* p,
    const REAL* g,
    REAL* square,
    REAL* moved,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    long long ranges,
    long long columns) {
    if (counters[FAILED] >= 0) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL lr = row[0], rho = row[1], gain = row[2], eps = row[3];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = lr * factors[2 * r], decay = factors[2 * r + 1];
        for (long long i = bounds[2 * r] + first_item(); i < bounds[2 * r + 1]; i += items_at_once()) {
            const REAL d = g[i] * scale + decay * p[i];
            const REAL s = rho * square[i] + gain * d * d;
            square[i] = s;
            const REAL u = moved[i];
            const REAL change = sqrt(u + eps) / sqrt(s + eps) * d;
            moved[i] = rho * u + gain * change * change;
            p[i] -= rate * change;
        }
    }
}
