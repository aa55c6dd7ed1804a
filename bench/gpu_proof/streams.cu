// The memory traffic of Adam without its arithmetic: what an update of that many arrays can reach.
#include "elements.cuh"

extern "C" __global__ void streams(REAL* p, const REAL* g, REAL* m, REAL* v, long long size) {
    const auto body = [](REAL& p, REAL g, REAL& m, REAL& v) {
        p += g;
        m += g;
        v += g;
    };
    for_elements(0, size, body, changes(p), reads(g), changes(m), changes(v));
}
