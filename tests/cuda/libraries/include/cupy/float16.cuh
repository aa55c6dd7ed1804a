#include "short.hpp"
