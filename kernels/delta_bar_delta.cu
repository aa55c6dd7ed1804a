// Delta-bar-delta; the formulas are in delta_bar_delta.py. A thread an element, range by range.
#include "counters.cuh"
#include "grid.cuh"

extern "C" __global__ void delta_bar_delta(
    REAL* p,
    const REAL* g,
    REAL* rates,
    REAL* trend,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    long long ranges,
    long long columns) {
    if (counters[FAILED] >= 0) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL factor = row[0], kappa = row[1], shrink = row[2], theta = row[3], gain = row[4];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = factor * factors[2 * r], decay = factors[2 * r + 1];
        for (long long i = bounds[2 * r] + first_item(); i < bounds[2 * r + 1]; i += items_at_once()) {
            const REAL d = g[i] * scale + decay * p[i];
            const REAL sign = trend[i] * d;
            REAL e = rates[i];
            if (sign > 0) e += kappa;
            else if (sign < 0) e *= shrink;
            rates[i] = e;
            trend[i] = gain * d + theta * trend[i];
            p[i] -= rate * e * d;
        }
    }
}
