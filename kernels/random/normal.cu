// Normal random numbers from the step's Philox stream, a thread for every four; the formulas are in normal.py.
// Angles are in half turns: cos() would carry code, and a stack, for angles beyond any that occur.
#include "counters.cuh"
#include "grid.cuh"
#include "philox.cuh"
#include "value.cuh"

extern "C" __global__ void normal(
    const unsigned int* key,
    const long long* counters,
    VALUE* out,
    long long size,
    double deviation,
    long long stream) {
    const unsigned int purpose = (unsigned int)(PURPOSE_NOISE | stream << 8);
    const unsigned long long step = counters[STEP];
    const REAL unit = (REAL)1 / (REAL)(1 << 24);
    for (long long block = first_item(); 4 * block < size; block += items_at_once()) {
        const Words drawn = philox(
            (unsigned int)block, purpose, (unsigned int)step, (unsigned int)(step >> 32), key[0], key[1]);
        for (int pair = 0; pair < 2; ++pair) {
            const REAL u = (REAL)((drawn.word[2 * pair] >> 8) + 1) * unit;
            const REAL v = (REAL)((drawn.word[2 * pair + 1] >> 8) + 1) * unit;
            const REAL radius = (REAL)deviation * sqrt((REAL)-2 * log(u)), angle = (REAL)2 * v;
            const long long first = 4 * block + 2 * pair;
            if (first < size) out[first] = radius * cospi(angle);
            if (first + 1 < size) out[first + 1] = radius * sinpi(angle);
        }
    }
}
