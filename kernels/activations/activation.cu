// Activation functions. The output may be the input.
#include "activation.cuh"
#include "elements.cuh"

extern "C" __global__ void activation(const VALUE* x, VALUE* y, long long size, int activation) {
    for_elements(0, size, [=](REAL x, VALUE& y) { y = activate(x, activation); }, reads(x), writes(y));
}

extern "C" __global__ void activation_backward(
    const VALUE* dy, const VALUE* y, VALUE* dx, long long size, int activation) {
    const auto body = [=](REAL dy, REAL y, VALUE& dx) { dx = differentiate(dy, y, activation); };
    for_elements(0, size, body, reads(dy), reads(y), writes(dx));
}
