// RMSProp; the formulas are in rmsprop.py.
#include "counters.cuh"
#include "elements.cuh"

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
    COPY* copy,
    long long ranges,
    long long columns,
    int centered,
    int moving) {
    if (updates_are_off(counters)) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL lr = row[0], alpha = row[1], gain = row[2], eps = row[3], momentum = row[4];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = lr * factors[2 * r], decay = factors[2 * r + 1];
        const long long start = bounds[2 * r], stop = bounds[2 * r + 1];
        // the gradient over the root of its mean square; with m, of its variance
        const auto scaled = [=](REAL p, REAL g, REAL& s) {
            const REAL d = g * scale + decay * p;
            s = alpha * s + gain * d * d;
            return d / (sqrt(s) + eps);
        };
        const auto scaled_centered = [=](REAL p, REAL g, REAL& s, REAL& m) {
            const REAL d = g * scale + decay * p;
            s = alpha * s + gain * d * d;
            m = alpha * m + gain * d;
            return d / (sqrt(s - m * m) + eps);
        };
        // states that are not used are empty and must not be touched
        if (centered && moving) {
            const auto update = [=](REAL& p, REAL g, REAL& s, REAL& m, REAL& v) {
                v = momentum * v + scaled_centered(p, g, s, m);
                p -= rate * v;
            };
            for_elements(start, stop, update, updates(p, copy), reads(g), changes(square), changes(mean), changes(velocity));
        } else if (centered) {
            const auto update = [=](REAL& p, REAL g, REAL& s, REAL& m) { p -= rate * scaled_centered(p, g, s, m); };
            for_elements(start, stop, update, updates(p, copy), reads(g), changes(square), changes(mean));
        } else if (moving) {
            const auto update = [=](REAL& p, REAL g, REAL& s, REAL& v) {
                v = momentum * v + scaled(p, g, s);
                p -= rate * v;
            };
            for_elements(start, stop, update, updates(p, copy), reads(g), changes(square), changes(velocity));
        } else {
            const auto update = [=](REAL& p, REAL g, REAL& s) { p -= rate * scaled(p, g, s); };
            for_elements(start, stop, update, updates(p, copy), reads(g), changes(square));
        }
    }
}
