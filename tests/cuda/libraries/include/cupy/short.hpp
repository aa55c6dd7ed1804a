// CuPy's 16-bit floats on the host. `convert` has the functions `to` a float and `from` one.
#pragma once
#include <cstring>

template <class Convert>
class ShortFloat {
    unsigned short bits;

   public:
    ShortFloat() = default;
    template <class T>
    explicit ShortFloat(T value) : bits(Convert::from(float(value))) {}
    ShortFloat(float value) : bits(Convert::from(value)) {}
    template <class T>
    ShortFloat& operator=(T value) { return *this = ShortFloat(float(value)); }
    ShortFloat& operator=(const ShortFloat&) = default;
    operator float() const { return Convert::to(bits); }
};

struct ConvertHalf {
    static float to(unsigned short bits) { return from_half(bits); }
    static unsigned short from(float value) { return half_of(value); }
};
struct ConvertBfloat {
    static float to(unsigned short bits) { return same_bits<float>(unsigned(bits) << 16); }
    static unsigned short from(float value) {
        const unsigned word = same_bits<unsigned>(value);
        return value != value ? word >> 16 | 0x40 : (word + 0x7fff + (word >> 16 & 1)) >> 16;
    }
};
// classes of their own, for CuPy declares them so
class float16 : public ShortFloat<ConvertHalf> {
   public:
    using ShortFloat::ShortFloat, ShortFloat::operator=;
};
class bfloat16 : public ShortFloat<ConvertBfloat> {
   public:
    using ShortFloat::ShortFloat, ShortFloat::operator=;
};
