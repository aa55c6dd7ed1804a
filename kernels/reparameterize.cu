// A draw that gradients go through, a thread an element; the formulas are in reparameterize.py. `z` may be `mean`.
#include "grid.cuh"

extern "C" __global__ void reparameterize(
    const REAL* mean, const REAL* log_variance, const REAL* noise, REAL* z, long long size) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        z[i] = mean[i] + exp(log_variance[i] * (REAL)0.5) * noise[i];
    }
}

extern "C" __global__ void reparameterize_backward(
    const REAL* dz, const REAL* log_variance, const REAL* noise, REAL* dlog_variance, long long size) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        dlog_variance[i] = dz[i] * noise[i] * exp(log_variance[i] * (REAL)0.5) * (REAL)0.5;
    }
}
