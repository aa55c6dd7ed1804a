// Where the greatest value of a row stands.
#pragma once

// Of two places the one with the greater value, at a tie the first; no place is below 0.
template <class T, class PLACE>
__device__ inline PLACE better(const T* z, PLACE a, PLACE b) {
    if (a < 0) return b;
    if (b < 0 || z[a] > z[b]) return a;
    return z[b] > z[a] || b < a ? b : a;
}
