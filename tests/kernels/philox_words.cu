// The words of one Philox block, for its known answers.
#include "philox.cuh"

extern "C" __global__ void philox_words(const unsigned int* counter, const unsigned int* key, unsigned int* words) {
    const Words drawn = philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1]);
    for (int lane = 0; lane < 4; ++lane) words[lane] = drawn.word[lane];
}
