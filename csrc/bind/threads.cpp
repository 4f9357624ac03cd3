#include "bindings.h"

namespace nd {

Executor threads() { return Executor{}; }
void set_num_threads(int) {}
int num_threads() { return 1; }

}  // namespace nd
