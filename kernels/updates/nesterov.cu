// Nesterov's momentum; the formulas are in nesterov.py.
#include "counters.cuh"
#include "elements.cuh"

extern "C" __global__ void nesterov_ahead(
    REAL* p,
    const REAL* g,
    const REAL* velocity,
    REAL* origin,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    COPY* copy,
    long long ranges,
    long long columns) {
    if (updates_are_off(counters)) return;
    const REAL alpha = table[counters[ROW] * columns + 1];
    for (long long r = 0; r < ranges; ++r) {
        const auto move = [=](REAL& p, REAL v, REAL& origin) {
            origin = p;
            p += alpha * v;
        };
        for_elements(bounds[2 * r], bounds[2 * r + 1], move, updates(p, copy), reads(velocity), writes(origin));
    }
}

extern "C" __global__ void nesterov(
    REAL* p,
    const REAL* g,
    REAL* velocity,
    const REAL* origin,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    COPY* copy,
    long long ranges,
    long long columns) {
    const bool back = counters[FAILED] == counters[STEP] || (counters[FAILED] < 0 && counters[SKIP]);
    if (updates_are_off(counters) && !back) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL lr = row[0], alpha = row[1];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = lr * factors[2 * r], decay = factors[2 * r + 1];
        const long long start = bounds[2 * r], stop = bounds[2 * r + 1];
        const auto restore = [](REAL& p, REAL origin) { p = origin; };
        const auto update = [=](REAL& p, REAL g, REAL& v, REAL origin) {
            const REAL d = g * scale + decay * p;
            v = alpha * v - rate * d;
            p = origin + v;
        };
        if (back) for_elements(start, stop, restore, updates(p, copy), reads(origin));
        else for_elements(start, stop, update, updates(p, copy), reads(g), changes(velocity), reads(origin));
    }
}
