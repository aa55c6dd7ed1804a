// Inverted dropout from the step's Philox stream, a thread for every four elements. y may be x.
#include "counters.cuh"
#include "grid.cuh"
#include "philox.cuh"

extern "C" __global__ void dropout(
    const REAL* x,
    const unsigned int* key,
    const long long* counters,
    REAL* y,
    long long size,
    long long threshold,
    double scale,
    long long stream) {
    const unsigned int purpose = (unsigned int)(PURPOSE_DROPOUT | stream << 8);
    const unsigned long long step = counters[STEP];
    const REAL factor = (REAL)scale;
    for (long long block = first_item(); 4 * block < size; block += items_at_once()) {
        const Words drawn = philox(
            (unsigned int)block, purpose, (unsigned int)step, (unsigned int)(step >> 32), key[0], key[1]);
        for (int lane = 0; lane < 4; ++lane) {
            const long long i = 4 * block + lane;
            if (i < size) y[i] = drawn.word[lane] >= threshold ? x[i] * factor : (REAL)0;
        }
    }
}
