// Element by element over arrays: PACK elements at a time wherever all of them begin at a boundary, else one by one.
#pragma once

#include "grid.cuh"

enum { PACK = 4 };  // the same as launch.py

// Elements beside each other, moved in transfers of up to 16 bytes.
template <class T>
struct alignas(PACK * sizeof(T) < 16 ? PACK * sizeof(T) : 16) Pack {
    T lane[PACK];
};

template <class T>
__device__ inline Pack<T> load_pack(const T* array, long long i) {
    return *(const Pack<T>*)(array + i);
}

// In words of 16 bytes, and by the instruction's name: the compiler may store a struct lane by lane.
template <class T>
__device__ inline void store_pack(T* array, long long i, const Pack<T>& pack) {
    static_assert(sizeof(Pack<T>) % sizeof(uint4) == 0, "elements of at least 4 bytes");
    for (int k = 0; k < sizeof(Pack<T>) / sizeof(uint4); ++k) {
        uint4 word;
        memcpy(&word, (const char*)&pack + k * sizeof(word), sizeof(word));
        __stwb((uint4*)(array + i) + k, word);
    }
}

// Whether packs may be taken from an array at multiples of PACK.
template <class T>
__device__ inline bool has_packs(const T* array) {
    return (unsigned long long)array % alignof(Pack<T>) == 0;
}

// How a loop takes an array: what is only written is not loaded, what is only read is not stored.
template <class T, bool LOADED, bool STORED>
struct Elements {
    T* array;
    Pack<T> pack;
    __device__ void load(long long i) {
        if (LOADED) pack = load_pack(array, i);
    }
    __device__ void store(long long i) {
        if constexpr (STORED) store_pack(array, i, pack);
    }
};

// An argument of the loop's body, by value.
template <class T>
__device__ inline Elements<T, true, false> reads(const T* array) {
    return {const_cast<T*>(array), {}};
}

// An argument by reference, which the body must set.
template <class T>
__device__ inline Elements<T, false, true> writes(T* array) {
    return {array, {}};
}

// An argument by reference.
template <class T>
__device__ inline Elements<T, true, true> changes(T* array) {
    return {array, {}};
}

// body(elements...) for elements start to stop, shared among `threads` threads of which this is number `thread`.
template <class Body, class... Arrays>
__device__ inline void share_elements(
    long long start, long long stop, long long thread, long long threads, const Body& body, Arrays... arrays) {
    long long first = stop, last = stop;  // where packs are taken from and up to
    if ((has_packs(arrays.array) && ...)) {
        const long long boundary = (start + PACK - 1) / PACK * PACK;
        first = boundary < stop ? boundary : stop;
        last = first + (stop - first) / PACK * PACK;
    }
    for (long long i = first + PACK * thread; i < last; i += PACK * threads) {
        (arrays.load(i), ...);
        for (int k = 0; k < PACK; ++k) body(arrays.pack.lane[k]...);
        (arrays.store(i), ...);
    }
    for (long long i = start + thread; i < first; i += threads) body(arrays.array[i]...);
    for (long long i = last + thread; i < stop; i += threads) body(arrays.array[i]...);
}

// body(elements...) for elements start to stop, shared by the whole grid.
template <class Body, class... Arrays>
__device__ inline void for_elements(long long start, long long stop, const Body& body, Arrays... arrays) {
    share_elements(start, stop, first_item(), items_at_once(), body, arrays...);
}

// body(elements...) for the n elements of a row, shared by the threads in a line of a tile.
template <class Body, class... Arrays>
__device__ inline void for_columns(int n, const Body& body, Arrays... arrays) {
    share_elements(0, n, blockIdx.y * blockDim.x + threadIdx.x, gridDim.y * blockDim.x, body, arrays...);
}

// Tiles of threads, lines along the rows of a matrix: the first row of a thread, and the rows that a grid takes at once.
__device__ inline long long first_line() { return (long long)blockIdx.x * blockDim.y + threadIdx.y; }

__device__ inline long long lines_at_once() { return (long long)gridDim.x * blockDim.y; }
