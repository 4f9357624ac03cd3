#include "../../nd/simd.h"
