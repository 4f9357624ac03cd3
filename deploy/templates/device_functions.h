/* ${name}_run and ${name}_call with memory of the device, which is neither copied nor waited for before. The first call with other
 * sizes or other pointers makes a CUDA graph of its kernels, for which the driver takes memory, and later ones start that; the last
 * 8 are kept. */
NEEDLE_API int ${name}_run_device(${name}_model* model, ${sizes}$pointers);
NEEDLE_API int ${name}_call_device(${name}_model* model, const int64_t* sizes, void* const* operands);

