// Stochastic gradient descent with momentum; the formulas are in sgd.py.
#include "counters.cuh"
#include "elements.cuh"

extern "C" __global__ void sgd(
    REAL* p,
    const REAL* g,
    REAL* velocity,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    COPY* copy,
    long long ranges,
    long long columns,
    int moving) {
    if (updates_are_off(counters)) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL lr = row[0], momentum = row[1], gain = row[2], ahead = row[3], carry = row[4];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = lr * factors[2 * r], decay = factors[2 * r + 1];
        const long long start = bounds[2 * r], stop = bounds[2 * r + 1];
        const auto plain = [=](REAL& p, REAL g) { p -= rate * (g * scale + decay * p); };
        const auto moved = [=](REAL& p, REAL g, REAL& v) {
            const REAL d = g * scale + decay * p;
            v = momentum * v + gain * d;
            p -= rate * (ahead * d + carry * v);
        };
        // without momentum the velocity is empty and must not be touched
        if (moving) for_elements(start, stop, moved, updates(p, copy), reads(g), changes(velocity));
        else for_elements(start, stop, plain, updates(p, copy), reads(g));
    }
}
