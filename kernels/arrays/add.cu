// Sum of two arrays of one shape. The output may be an input.
#include "elements.cuh"

extern "C" __global__ void add(const VALUE* a, const VALUE* b, VALUE* out, long long size) {
    for_elements(0, size, [](REAL a, REAL b, VALUE& out) { out = a + b; }, reads(a), reads(b), writes(out));
}
