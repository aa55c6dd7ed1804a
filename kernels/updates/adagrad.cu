// AdaGrad; the formulas are in adagrad.py.
#include "counters.cuh"
#include "elements.cuh"

extern "C" __global__ void adagrad(
    REAL* p,
    const REAL* g,
    REAL* square,
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
    const REAL lr = row[0], begin = row[1], eps = row[2];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = lr * factors[2 * r], decay = factors[2 * r + 1];
        const auto update = [=](REAL& p, REAL g, REAL& s) {
            const REAL d = g * scale + decay * p;
            s += d * d;
            p -= rate * (d / (sqrt(begin + s) + eps));
        };
        for_elements(bounds[2 * r], bounds[2 * r + 1], update, updates(p, copy), reads(g), changes(square));
    }
}
