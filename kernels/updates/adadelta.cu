// AdaDelta; the formulas are in adadelta.py.
#include "counters.cuh"
#include "elements.cuh"

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
    COPY* copy,
    long long ranges,
    long long columns) {
    if (updates_are_off(counters)) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL lr = row[0], rho = row[1], gain = row[2], eps = row[3];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = lr * factors[2 * r], decay = factors[2 * r + 1];
        const auto update = [=](REAL& p, REAL g, REAL& s, REAL& u) {
            const REAL d = g * scale + decay * p;
            s = rho * s + gain * d * d;
            const REAL change = sqrt(u + eps) / sqrt(s + eps) * d;
            u = rho * u + gain * change * change;
            p -= rate * change;
        };
        const long long start = bounds[2 * r], stop = bounds[2 * r + 1];
        for_elements(start, stop, update, updates(p, copy), reads(g), changes(square), changes(moved));
    }
}
