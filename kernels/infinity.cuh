// Numbers that have no literal.
#pragma once

template <class T, class Word>
__device__ inline T from_bits(Word word) {
    static_assert(sizeof(T) == sizeof(Word), "the bits of a number");
    T value;
    memcpy(&value, &word, sizeof(value));
    return value;
}

__device__ inline float infinity(float) { return from_bits<float>(0x7f800000u); }
__device__ inline double infinity(double) { return from_bits<double>(0x7ff0000000000000ull); }
__device__ inline float not_a_number(float) { return from_bits<float>(0x7fc00000u); }
__device__ inline double not_a_number(double) { return from_bits<double>(0x7ff8000000000000ull); }
