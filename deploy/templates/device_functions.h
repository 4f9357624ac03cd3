/* ${name}_run and ${name}_call with memory of the device, which is neither copied nor waited for before. */
NEEDLE_API int ${name}_run_device(${name}_model* model, ${sizes}$pointers);
NEEDLE_API int ${name}_call_device(${name}_model* model, const int64_t* sizes, void* const* operands);

