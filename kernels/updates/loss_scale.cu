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
    const double* rates,
    const double* parts,
    REAL* scale,
    long long* counters,
    REAL* table,
    REAL* clip,
    long long chunks,
    long long rows,
    long long columns,
    double max_norm,
    double eps,
    double interval,
    double least) {
    if (blockIdx.x > 0) return;
    double squares = 0;
    for (long long c = threadIdx.x; c < chunks; c += BLOCK) squares += partial[c];
    squares = block_sum(squares);
    const double factor = scale[0];
    if (isfinite(squares)) {
        if (threadIdx.x > 0) return;
        const double share = max_norm / (sqrt(squares) / factor + eps);
        clip[0] = (REAL)((share < 1 ? share : 1) / factor);
        scale[1] += 1;
        if (scale[1] >= interval) {
            scale[0] = (REAL)(2 * factor);
            scale[1] = 0;
        }
        return;
    }
    // the steps that follow are updates of one number less
    const long long late = (long long)scale[2] + 1;
    __syncthreads();  // the first thread writes to scale
    for (long long i = (counters[ROW] + 1) * columns + threadIdx.x; i < rows * columns; i += BLOCK) {
        const double* part = parts + 2 * (i - late * columns);
        table[i] = (REAL)(part[0] + rates[i / columns] * part[1]);
    }
    if (threadIdx.x > 0) return;
    counters[SKIP] = 1;
    scale[2] = late;
    scale[0] = (REAL)(factor / 2);
    scale[1] = 0;
    if (factor <= least && counters[FAILED] < 0) counters[FAILED] = counters[STEP];
}
