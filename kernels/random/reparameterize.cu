// A draw that gradients go through, a thread an element; the formulas are in reparameterize.py. `z` may be `mean`.
#include "grid.cuh"
#include "value.cuh"

extern "C" __global__ void reparameterize(
    const VALUE* mean, const VALUE* log_variance, const VALUE* noise, VALUE* z, long long size) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        z[i] = (REAL)mean[i] + exp((REAL)log_variance[i] * (REAL)0.5) * (REAL)noise[i];
    }
}

extern "C" __global__ void reparameterize_backward(
    const VALUE* dz, const VALUE* log_variance, const VALUE* noise, VALUE* dlog_variance, long long size) {
    for (long long i = first_item(); i < size; i += items_at_once()) {
        dlog_variance[i] = (REAL)dz[i] * (REAL)noise[i] * exp((REAL)log_variance[i] * (REAL)0.5) * (REAL)0.5;
    }
}
