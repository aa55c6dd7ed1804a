// Before the text of a kernel, for a C++ compiler of the host: the project's `cuda_on_cpu.hpp`, and what CuPy's own kernels
// need besides.
#pragma once
#include <cassert>
#include <cstdint>
#include <type_traits>
#include <utility>

#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#include "cuda_on_cpu.hpp"
using std::ptrdiff_t;
using std::size_t;

template <class T>
static inline T min(T a, T b) { return b < a ? b : a; }
template <class T>
static inline T max(T a, T b) { return a < b ? b : a; }
template <class To, class From>
static inline To same_bits(From from) {
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline float __int_as_float(int bits) { return same_bits<float>(bits); }
static inline int __float_as_int(float value) { return same_bits<int>(value); }
static inline double __longlong_as_double(long long bits) { return same_bits<double>(bits); }
static inline long long __double_as_longlong(double value) { return same_bits<long long>(value); }
static inline int __popc(unsigned word) { return __builtin_popcount(word); }
static inline int __popcll(unsigned long long word) { return __builtin_popcountll(word); }
// CuPy's headers name these in templates that are not used
template <class T>
static inline T atomicCAS(T* place, T compare, T value) {
    const T before = *place;
    if (before == compare) *place = value;
    return before;
}
template <class T>
static inline T atomicAdd(T* place, T value) {
    const T before = *place;
    *place += value;
    return before;
}

// A kernel from its arguments' addresses, and their sizes.
namespace entry {
template <class... Types>
constexpr size_t SIZES[] = {sizeof(Types)..., 0};

template <class Kernel>
struct Of;
template <class... Types>
struct Of<void (*)(Types...)> {
    static const size_t* sizes() { return SIZES<Types...>; }
    template <void (*kernel)(Types...), size_t... I>
    static void unpack(void** arguments, std::index_sequence<I...>) {
        kernel(*(std::remove_cv_t<Types>*)arguments[I]...);
    }
    template <void (*kernel)(Types...)>
    static void enter(void** arguments) { unpack<kernel>(arguments, std::index_sequence_for<Types...>()); }
};
}  // namespace entry

#define ENTRY(kernel)                                                                                                  \
    extern "C" __attribute__((visibility("default"))) const size_t* sizes_##kernel() {                                 \
        return entry::Of<decltype(&kernel)>::sizes();                                                                  \
    }                                                                                                                  \
    extern "C" __attribute__((visibility("default"))) int run_##kernel(void** arguments, const unsigned* grid,         \
                                                                       const unsigned* block) {                        \
        return cuda_on_cpu::run(&entry::Of<decltype(&kernel)>::enter<&kernel>, arguments, grid, block, false);         \
    }
