// Activation functions. The output may be the input.
#include "activation.cuh"
#include "elements.cuh"

extern "C" __global__ void activation(const REAL* x, REAL* y, long long size, int activation) {
    for_elements(0, size, [=](REAL x, REAL& y) { y = activate(x, activation); }, reads(x), writes(y));
}

extern "C" __global__ void activation_backward(
    const REAL* dy, const REAL* y, REAL* dx, long long size, int activation) {
    const auto body = [=](REAL dy, REAL y, REAL& dx) { dx = differentiate(dy, y, activation); };
    for_elements(0, size, body, reads(dy), reads(y), writes(dx));
}
