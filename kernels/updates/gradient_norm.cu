// Clipping by the gradient's norm: sums of squares over fixed chunks, then the factor; sums in double.
#include "block.cuh"
#include "elements.cuh"

// partial[c] = sum of g * g over elements c * chunk to (c + 1) * chunk, a block a chunk.
extern "C" __global__ void gradient_squares(
    const REAL* __restrict__ g, double* __restrict__ partial, long long size, long long chunks, long long chunk) {
    for (long long c = blockIdx.x; c < chunks; c += gridDim.x) {
        const long long start = c * chunk, stop = start + chunk < size ? start + chunk : size;
        double sum = 0;
        const auto add = [&](double value) { sum += value * value; };
        share_elements(start, stop, threadIdx.x, BLOCK, add, reads(g));
        sum = block_sum(sum);
        if (threadIdx.x == 0) partial[c] = sum;
    }
}

// clip[0] = min(1, max_norm / (norm + eps)), in one block; 1 where the norm is NaN.
extern "C" __global__ void clip_factor(
    const double* __restrict__ partial, REAL* __restrict__ clip, long long chunks, double max_norm, double eps) {
    if (blockIdx.x > 0) return;
    double sum = 0;
    for (long long c = threadIdx.x; c < chunks; c += BLOCK) sum += partial[c];
    sum = block_sum(sum);
    const double factor = max_norm / (sqrt(sum) + eps);
    if (threadIdx.x == 0) clip[0] = (REAL)(factor < 1 ? factor : 1);
}
