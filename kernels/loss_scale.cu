// Dynamic loss scaling; the formulas are in loss_scale.py.
#include "block.cuh"
#include "counters.cuh"
#include "elements.cuh"

extern "C" __global__ void scale_gradient(const REAL* gradient, const REAL* scale, VALUE* scaled, long long size) {
    const REAL factor = scale[0];
    for_elements(0, size, [=](REAL g, VALUE& s) { s = g * factor; }, reads(gradient), writes(scaled));
}

// In one block.
extern "C" __global__ void unscale(
    const double* partial,
    REAL* scale,
    long long* counters,
    REAL* clip,
    long long chunks,
    double max_norm,
    double eps,
    double interval,
    double least) {
    if (blockIdx.x > 0) return;
    double squares = 0;
    for (long long c = threadIdx.x; c < chunks; c += BLOCK) squares += partial[c];
    squares = block_sum(squares);
    if (threadIdx.x > 0) return;
    const double factor = scale[0];
    if (isfinite(squares)) {
        const double share = max_norm / (sqrt(squares) / factor + eps);
        clip[0] = (REAL)((share < 1 ? share : 1) / factor);
        scale[1] += 1;
        if (scale[1] >= interval) {
            scale[0] = (REAL)(2 * factor);
            scale[1] = 0;
        }
        return;
    }
    counters[SKIP] = 1;
    scale[0] = (REAL)(factor / 2);
    scale[1] = 0;
    if (factor <= least && counters[FAILED] < 0) counters[FAILED] = counters[STEP];
}
