// A vector for each place in a sequence, and the sums of its gradients, a thread an element; y may be x.
// `period` is the number of elements of a sequence.
#include "grid.cuh"
#include "value.cuh"

extern "C" __global__ void positions(const VALUE* x, const VALUE* table, VALUE* y, long long size, long long period) {
    for (long long i = first_item(); i < size; i += items_at_once()) y[i] = (REAL)x[i] + (REAL)table[i % period];
}

extern "C" __global__ void positions_backward(
    const VALUE* dy, REAL* dtable, long long size, long long table_size, long long period) {
    for (long long i = first_item(); i < table_size; i += items_at_once()) {
        REAL sum = 0;
        if (i < period)
            for (long long k = i; k < size; k += period) sum += dy[k];
        dtable[i] = sum;
    }
}
