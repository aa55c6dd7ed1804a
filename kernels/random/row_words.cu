// A random word of 64 bits for each row, a thread for every two; as backends/philox.py.
#include "grid.cuh"
#include "philox.cuh"

extern "C" __global__ void row_words(
    unsigned long long* out,
    long long rows,
    unsigned int low,
    unsigned int high,
    unsigned int stream,
    unsigned long long epoch) {
    for (long long pair = first_item(); 2 * pair < rows; pair += items_at_once()) {
        const Words drawn = philox(
            (unsigned int)pair,
            PURPOSE_SHUFFLE | stream << 8,
            (unsigned int)epoch,
            (unsigned int)(epoch >> 32),
            low,
            high);
        out[2 * pair] = (unsigned long long)drawn.word[0] << 32 | drawn.word[1];
        if (2 * pair + 1 < rows) out[2 * pair + 1] = (unsigned long long)drawn.word[2] << 32 | drawn.word[3];
    }
}
