// Inverted dropout from the step's Philox stream, a thread for the elements of every four words. y may be x.
#include "counters.cuh"
#include "elements.cuh"
#include "philox.cuh"

extern "C" __global__ void dropout(
    const VALUE* x,
    const unsigned int* key,
    const long long* counters,
    VALUE* y,
    long long size,
    long long threshold,
    double scale,
    long long stream,
    long long width) {
    const unsigned int purpose = (unsigned int)(PURPOSE_DROPOUT | stream << 8);
    const unsigned long long step = counters[STEP];
    const unsigned long long before = counters[FIRST] * width;
    const unsigned int shift = before % PACK;  // words of the first four that belong to earlier elements
    const REAL factor = (REAL)scale;
    const bool packed = shift == 0 && has_packs(x) && has_packs(y);
    for (long long block = first_item(); PACK * block < size + shift; block += items_at_once()) {
        const long long first = PACK * block - shift;
        const Words drawn = philox(
            (unsigned int)(before / PACK + block), purpose, (unsigned int)step, (unsigned int)(step >> 32), key[0], key[1]);
        const bool whole = packed && first + PACK <= size;
        Pack<VALUE> values;
        if (whole) values = load_pack(x, first);
        for (int lane = 0; lane < PACK; ++lane) {
            const long long i = first + lane;
            if (i < 0 || i >= size) continue;
            const REAL value = whole ? values.lane[lane] : x[i];
            values.lane[lane] = drawn.word[lane] >= threshold ? value * factor : (REAL)0;
            if (!whole) y[i] = values.lane[lane];
        }
        if (whole) store_pack(y, first, values);
    }
}
