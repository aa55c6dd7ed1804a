// Activation functions, a thread an element. The output may be the input.
#include "activation.cuh"
#include "grid.cuh"

extern "C" __global__ void activation(const REAL* x, REAL* y, long long size, int activation) {
    for (long long i = first_item(); i < size; i += items_at_once()) y[i] = activate(x[i], activation);
}

extern "C" __global__ void activation_backward(
    const REAL* dy, const REAL* y, REAL* dx, long long size, int activation) {
    for (long long i = first_item(); i < size; i += items_at_once()) dx[i] = differentiate(dy[i], y[i], activation);
}
