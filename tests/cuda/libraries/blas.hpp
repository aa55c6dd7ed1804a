// Matrix products on the host: column-major, with sums in float64, and inputs rounded to TF32 where that is asked for.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace blas {

enum Status { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum Type { R_32F = 0, R_64F = 1, R_16F = 2, R_16BF = 14 };
enum Compute { COMPUTE_32F = 68, COMPUTE_64F = 70, COMPUTE_32F_FAST_TF32 = 77 };

inline size_t bytes(int type) { return type == R_64F ? 8 : type == R_32F ? 4 : 2; }

inline float from_word(uint32_t word) {
    float value;
    memcpy(&value, &word, 4);
    return value;
}
inline uint32_t word_of(float value) {
    uint32_t word;
    memcpy(&word, &value, 4);
    return word;
}

inline double load(const void* array, size_t i, int type) {
    if (type == R_64F) return ((const double*)array)[i];
    if (type == R_32F) return ((const float*)array)[i];
    const uint16_t bits = ((const uint16_t*)array)[i];
    if (type == R_16BF) return from_word(uint32_t(bits) << 16);
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double size = exponent == 31  ? (fraction ? NAN : INFINITY)
                        : exponent == 0 ? std::ldexp(fraction, -24)
                                        : std::ldexp(1024 + fraction, exponent - 25);
    return bits >> 15 ? -size : size;
}

inline uint16_t half(double value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const double size = std::fabs(value);
    if (std::isnan(value)) return 0x7fff;
    if (size >= 65520) return sign | 0x7c00;
    const int exponent = size < std::ldexp(1, -14) ? -14 : std::ilogb(size);
    return sign | uint16_t(int(std::nearbyint(std::ldexp(size, 10 - exponent))) + ((exponent + 14) << 10));
}

inline void store(void* array, size_t i, int type, double value) {
    const uint32_t word = word_of(float(value));
    if (type == R_64F) ((double*)array)[i] = value;
    else if (type == R_32F) ((float*)array)[i] = float(value);
    else if (type == R_16F) ((uint16_t*)array)[i] = half(float(value));
    else ((uint16_t*)array)[i] = std::isnan(value) ? 0x7fff : (word + 0x7fff + (word >> 16 & 1)) >> 16;
}

// An operand as it is stored; `at` takes the indices of the operand as it is used.
struct Operand {
    const void* array;
    int type;
    size_t leading;
    bool transposed, tf32;
    double at(size_t i, size_t j) const {
        const double value = load(array, transposed ? j + i * leading : i + j * leading, type);
        return tf32 ? from_word((word_of(float(value)) + 0x1000) & 0xFFFFE000) : value;
    }
};

// The product a · b, m by n.
inline std::vector<double> product(size_t m, size_t n, size_t k, const Operand& a, const Operand& b) {
    std::vector<double> left(m * k), sums(m * n, 0.0);
    for (size_t l = 0; l < k; ++l) {
        for (size_t i = 0; i < m; ++i) left[i + l * m] = a.at(i, l);
    }
    for (size_t j = 0; j < n; ++j) {
        for (size_t l = 0; l < k; ++l) {
            const double factor = b.at(l, j);
            for (size_t i = 0; i < m; ++i) sums[i + j * m] += left[i + l * m] * factor;
        }
    }
    return sums;
}

}  // namespace blas
