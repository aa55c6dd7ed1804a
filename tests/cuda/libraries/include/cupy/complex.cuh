// Instead of CuPy's complex numbers, which no test uses: what they bring along.
#pragma once
#include <cmath>
using std::isinf;
using std::isnan;
