// Delta-bar-delta; the formulas are in delta_bar_delta.py.
#include "counters.cuh"
#include "elements.cuh"

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
    COPY* copy,
    long long ranges,
    long long columns) {
    if (updates_are_off(counters)) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL factor = row[0], kappa = row[1], shrink = row[2], theta = row[3], gain = row[4];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = factor * factors[2 * r], decay = factors[2 * r + 1];
        const auto update = [=](REAL& p, REAL g, REAL& e, REAL& t) {
            const REAL d = g * scale + decay * p;
            const REAL sign = t * d;
            if (sign > 0) e += kappa;
            else if (sign < 0) e *= shrink;
            t = gain * d + theta * t;
            p -= rate * e * d;
        };
        const long long start = bounds[2 * r], stop = bounds[2 * r + 1];
        for_elements(start, stop, update, updates(p, copy), reads(g), changes(rates), changes(trend));
    }
}
