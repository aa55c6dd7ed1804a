// Which tokens of sequences count, a thread a token; the formulas are in padding.py.
#include "grid.cuh"

extern "C" __global__ void padding(const REAL* ids, REAL* mask, long long size, int padding) {
    for (long long i = first_item(); i < size; i += items_at_once()) mask[i] = ids[i] == padding ? (REAL)0 : (REAL)1;
}

extern "C" __global__ void ones(REAL* mask, long long size) {
    for (long long i = first_item(); i < size; i += items_at_once()) mask[i] = 1;
}
