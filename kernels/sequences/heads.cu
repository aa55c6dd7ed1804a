// Rows of all heads to matrices of one head each, and back, a thread an element of the rows; see heads.py.
#include "grid.cuh"
#include "value.cuh"

// Where element i of the rows (sequences * length, n) stands among the matrices (sequences * n / width, length, width).
__device__ inline long long in_heads(long long i, long long n, long long length, long long width) {
    const long long row = i / n, column = i % n, heads = n / width;
    const long long matrix = row / length * heads + column / width;
    return (matrix * length + row % length) * width + column % width;
}

extern "C" __global__ void split_heads(
    const VALUE* x, VALUE* y, long long size, long long n, long long length, long long width) {
    for (long long i = first_item(); i < size; i += items_at_once()) y[in_heads(i, n, length, width)] = x[i];
}

extern "C" __global__ void merge_heads(
    const VALUE* y, VALUE* x, long long size, long long n, long long length, long long width) {
    for (long long i = first_item(); i < size; i += items_at_once()) x[i] = y[in_heads(i, n, length, width)];
}
