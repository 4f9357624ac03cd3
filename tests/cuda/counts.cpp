// What a test asks of the emulator (simt.h) that runs a program: what it has counted, devices and their memory.
extern "C" {

uint64_t emulator_launches() { return simt::device().launches; }
uint64_t emulator_captures() { return simt::device().captures; }
void emulator_use(int device) { simt::in_use = device; }
void* emulator_take(std::size_t bytes) { return simt::allocate(bytes); }
void emulator_copy(void* to, const void* from, std::size_t bytes) { simt::copy(to, from, bytes); }

}  // extern "C"
