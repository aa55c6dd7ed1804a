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
    long long stream,
    long long width) {
    const unsigned int purpose = (unsigned int)(PURPOSE_NOISE | stream << 8);
    const unsigned long long step = counters[STEP];
    const unsigned long long before = counters[FIRST] * width;
    const int odd = before % 2;  // then a block's first element is the second one of a pair
    const REAL unit = (REAL)1 / (REAL)(1 << 24);
    for (long long block = first_item(); 4 * block < size; block += items_at_once()) {
        const long long behind = 4 * block + 4 < size ? 4 * block + 4 : size;
        for (long long first = 4 * block - odd; first < behind; first += 2) {
            const unsigned long long place = before + first;
            const Words drawn = philox(
                (unsigned int)(place / 4), purpose, (unsigned int)step, (unsigned int)(step >> 32), key[0], key[1]);
            const bool upper = place & 2;
            const REAL u = (REAL)(((upper ? drawn.word[2] : drawn.word[0]) >> 8) + 1) * unit;
            const REAL v = (REAL)(((upper ? drawn.word[3] : drawn.word[1]) >> 8) + 1) * unit;
            const REAL radius = (REAL)deviation * sqrt((REAL)-2 * log(u)), angle = (REAL)2 * v;
            if (first >= 4 * block) out[first] = radius * cospi(angle);
            if (first + 1 < behind) out[first + 1] = radius * sinpi(angle);
        }
    }
}
