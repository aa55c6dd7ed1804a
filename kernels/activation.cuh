// The activation functions and their derivatives for one element; as activation.py.
#pragma once

enum Activation { IDENTITY, RELU, TANH, SIGMOID };

// NaN passes through ReLU: it is not below 0.
__device__ inline REAL activate(REAL z, int activation) {
    switch (activation) {
        case RELU: return z < (REAL)0 ? (REAL)0 : z;
        case TANH: return tanh(z);
        case SIGMOID: return (REAL)1 / ((REAL)1 + exp(-z));
        default: return z;
    }
}

// dy times the derivative where the function's value is y.
__device__ inline REAL differentiate(REAL dy, REAL y, int activation) {
    switch (activation) {
        case RELU: return y > (REAL)0 ? dy : (REAL)0;
        case TANH: return dy * ((REAL)1 - y * y);
        case SIGMOID: return dy * y * ((REAL)1 - y);
        default: return dy;
    }
}
