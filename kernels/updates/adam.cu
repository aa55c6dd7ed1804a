// Adam and, with `decoupled`, AdamW; the formulas are in adam.py.
#include "counters.cuh"
#include "elements.cuh"

extern "C" __global__ void adam(
    REAL* p,
    const REAL* g,
    REAL* m,
    REAL* v,
    const long long* bounds,
    const REAL* factors,
    const REAL* table,
    const long long* counters,
    const REAL* clip,
    COPY* copy,
    long long ranges,
    long long columns,
    int decoupled) {
    if (updates_are_off(counters)) return;
    const REAL* row = table + counters[ROW] * columns;
    const REAL lr = row[0], step = row[1], root = row[2], eps = row[7];
    const REAL beta1 = row[3], gain1 = row[4], beta2 = row[5], gain2 = row[6];
    const REAL scale = clip[0];
    for (long long r = 0; r < ranges; ++r) {
        const REAL rate = step * factors[2 * r], decay = factors[2 * r + 1];
        // the decay goes to the gradient or to the weight, the other factor is 0
        const REAL shrink = decoupled ? lr * factors[2 * r] * decay : (REAL)0;
        const REAL couple = decoupled ? (REAL)0 : decay;
        const auto update = [=](REAL& p, REAL g, REAL& m, REAL& v) {
            const REAL d = g * scale + couple * p;
            m = beta1 * m + gain1 * d;
            v = beta2 * v + gain2 * d * d;
            p -= shrink * p + rate * (m / (sqrt(v) * root + eps));
        };
        for_elements(bounds[2 * r], bounds[2 * r + 1], update, updates(p, copy), reads(g), changes(m), changes(v));
    }
}
