// Numbers of sixteen bits. Kernels read them as floats, compute in REAL, and round to the nearest on the store.
#pragma once

// The upper half of a float.
struct bfloat16 {
    unsigned short bits;
    bfloat16() = default;
    __device__ bfloat16(float value) {
        unsigned int word;
        memcpy(&word, &value, sizeof(word));
        const bool nan = (word & 0x7fffffffu) > 0x7f800000u;
        bits = nan ? word >> 16 | 0x40 : (word + 0x7fffu + (word >> 16 & 1)) >> 16;
    }
    __device__ operator float() const {
        const unsigned int word = (unsigned int)bits << 16;
        float value;
        memcpy(&value, &word, sizeof(value));
        return value;
    }
};

#ifdef __CUDACC__
__device__ inline unsigned short half_of(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

__device__ inline float from_half(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
#endif

// IEEE 754's half precision.
struct float16 {
    unsigned short bits;
    float16() = default;
    __device__ float16(float value) : bits(half_of(value)) {}
    __device__ operator float() const { return from_half(bits); }
};
