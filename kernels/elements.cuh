// Element by element over arrays: PACK elements at a time wherever all of them begin at a boundary, else one by one.
#pragma once

#include "grid.cuh"
#include "value.cuh"

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

// In words of 16 or 8 bytes, and by the instruction's name: the compiler may store a struct lane by lane.
template <class Word, class T>
__device__ inline void store_words(T* array, long long i, const Pack<T>& pack) {
    for (int k = 0; k < sizeof(Pack<T>) / sizeof(Word); ++k) {
        Word word;
        memcpy(&word, (const char*)&pack + k * sizeof(word), sizeof(word));
        __stwb((Word*)(array + i) + k, word);
    }
}

template <class T>
__device__ inline void store_pack(T* array, long long i, const Pack<T>& pack) {
    static_assert(sizeof(T) >= 2, "elements of at least 2 bytes");
    if constexpr (sizeof(T) == 2) store_words<uint2>(array, i, pack);
    else store_words<uint4>(array, i, pack);
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
    __device__ bool packed() const { return has_packs(array); }
    __device__ void changed(long long i) {}
};

template <class T, class U>
constexpr bool same = false;
template <class T>
constexpr bool same<T, T> = true;

// An array whose elements are also written, rounded, to a copy of fewer bits; to none where the types are one.
template <class T, class C>
struct Copied {
    T* array;
    C* copy;
    Pack<T> pack;
    __device__ void load(long long i) { pack = load_pack(array, i); }
    __device__ void store(long long i) {
        store_pack(array, i, pack);
        if constexpr (!same<T, C>) {
            Pack<C> rounded;
            for (int k = 0; k < PACK; ++k) rounded.lane[k] = (C)pack.lane[k];
            store_pack(copy, i, rounded);
        }
    }
    __device__ bool packed() const { return has_packs(array) && has_packs(copy); }
    __device__ void changed(long long i) {
        if constexpr (!same<T, C>) copy[i] = (C)array[i];
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

// An argument by reference, of which `copy` is the low-precision copy.
template <class T, class C>
__device__ inline Copied<T, C> updates(T* array, C* copy) {
    return {array, copy, {}};
}

// body(elements...) for elements start to stop, shared among `threads` threads of which this is number `thread`.
template <class Body, class... Arrays>
__device__ inline void share_elements(
    long long start, long long stop, long long thread, long long threads, const Body& body, Arrays... arrays) {
    long long first = stop, last = stop;  // where packs are taken from and up to
    if ((arrays.packed() && ...)) {
        const long long boundary = (start + PACK - 1) / PACK * PACK;
        first = boundary < stop ? boundary : stop;
        last = first + (stop - first) / PACK * PACK;
    }
    for (long long i = first + PACK * thread; i < last; i += PACK * threads) {
        (arrays.load(i), ...);
        for (int k = 0; k < PACK; ++k) body(arrays.pack.lane[k]...);
        (arrays.store(i), ...);
    }
    const auto one = [&](long long i) {
        body(arrays.array[i]...);
        (arrays.changed(i), ...);
    };
    for (long long i = start + thread; i < first; i += threads) one(i);
    for (long long i = last + thread; i < stop; i += threads) one(i);
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
