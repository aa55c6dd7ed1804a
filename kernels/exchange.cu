// What a rank does to its gradients and metrics before and after the all-reduce. `part` has the rank's rows of the batch,
// the rows of the whole batch, and those that the rank computes.
#include "counters.cuh"
#include "grid.cuh"

enum { OWN, WHOLE, COMPUTED };

extern "C" __global__ void outgoing(
    REAL* message, double* totals, const long long* part, long long gradients, long long size) {
    const long long own = part[OWN];
    const REAL share = (double)own / (double)part[WHOLE];
    for (long long i = first_item(); i < size; i += items_at_once()) {
        if (i < gradients) {
            message[i] = own ? message[i] * share : REAL(0);
        } else {
            message[i] = own ? (REAL)totals[i - gradients] : REAL(0);
            totals[i - gradients] = 0;
        }
    }
}

extern "C" __global__ void incoming(
    const REAL* message, double* totals, long long* counters, const long long* part, long long gradients,
    long long measures) {
    for (long long i = first_item(); i < measures; i += items_at_once()) totals[i] += message[gradients + i];
    if (first_item() > 0) return;
    if (counters[FAILED] == -1 || counters[FAILED] == counters[STEP]) {
        counters[FAILED] = isfinite(message[gradients + 1]) ? -1 : counters[STEP];
    }
    counters[CURSOR] += part[WHOLE] - part[COMPUTED];
}
