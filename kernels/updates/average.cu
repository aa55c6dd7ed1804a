// The moving average of the parameters; the formula is in average.py.
#include "counters.cuh"
#include "elements.cuh"

extern "C" __global__ void average(
    const REAL* p, REAL* average, const REAL* rates, const long long* counters, long long n) {
    if (updates_are_off(counters)) return;
    const REAL rate = rates[counters[ROW]], keep = 1 - rate;
    const auto body = [=](REAL p, REAL& average) { average = keep * average + rate * p; };
    for_elements(0, n, body, reads(p), changes(average));
}
