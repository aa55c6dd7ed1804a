// The divergence of mean activations from a rate, in one block, and its gradient; the formulas are in sparsity.py.
#include "block.cuh"
#include "grid.cuh"

extern "C" __global__ void sparsity(const REAL* mean, REAL* term, long long n, double rate) {
    if (blockIdx.x > 0) return;
    double total = 0;
    for (long long j = threadIdx.x; j < n; j += BLOCK) {
        const double m = mean[j];
        total += rate * log(rate / m) + (1 - rate) * log((1 - rate) / (1 - m));
    }
    total = block_sum(total);
    if (threadIdx.x == 0) term[0] = (REAL)total;
}

extern "C" __global__ void sparsity_backward(
    const REAL* dterm, const REAL* mean, REAL* dmean, long long n, double rate) {
    const REAL rho = (REAL)rate, one = 1;
    for (long long j = first_item(); j < n; j += items_at_once()) {
        dmean[j] = dterm[0] * ((one - rho) / (one - mean[j]) - rho / mean[j]);
    }
}
