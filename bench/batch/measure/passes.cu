// Passes over words of memory without arithmetic to speak of; see streams.py.
#include "elements.cuh"

// Nothing is written but where all words together give one certain number: so nothing may be left out.
extern "C" __global__ void read_pass(REAL* x, long long size) {
    REAL all = 0;
    const auto body = [&](REAL word) { all ^= word; };
    for_elements(0, size, body, reads((const REAL*)x));
    if (all == 0x5DEECE66D) x[0] = all;
}

extern "C" __global__ void write_pass(REAL* x, long long size) {
    const auto body = [](REAL& word) { word = 1; };
    for_elements(0, size, body, writes(x));
}

extern "C" __global__ void update_pass(REAL* x, long long size) {
    const auto body = [](REAL& word) { word += 1; };
    for_elements(0, size, body, changes(x));
}
