// Another type for each element.
#include "elements.cuh"

extern "C" __global__ void convert(const DATA* x, VALUE* y, long long size) {
    for_elements(0, size, [](DATA x, VALUE& y) { y = (VALUE)x; }, reads(x), writes(y));
}
