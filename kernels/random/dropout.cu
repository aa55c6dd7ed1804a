// Inverted dropout from the step's Philox stream, a thread for every four elements. y may be x.
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
    const REAL factor = (REAL)scale;
    const bool packed = has_packs(x) && has_packs(y);
    for (long long block = first_item(); PACK * block < size; block += items_at_once()) {
        const long long first = PACK * block;
        const Words drawn =
            four_words(before + first, purpose, (unsigned int)step, (unsigned int)(step >> 32), key[0], key[1]);
        const bool whole = packed && first + PACK <= size;
        Pack<VALUE> values;
        if (whole) values = load_pack(x, first);
        for (int lane = 0; lane < PACK; ++lane) {
            const long long i = first + lane;
            if (i >= size) break;
            const REAL value = whole ? values.lane[lane] : x[i];
            values.lane[lane] = drawn.word[lane] >= threshold ? value * factor : (REAL)0;
            if (!whole) y[i] = values.lane[lane];
        }
        if (whole) store_pack(y, first, values);
    }
}
