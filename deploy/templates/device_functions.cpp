
int ${name}_call_device(${name}_model* model, const int64_t* sizes, void* const* operands) {
    return nd::checked_call(model, sizes, operands, &nd::Engine::forward_device);
}

int ${name}_run_device(${name}_model* model, ${sizes}$pointers) {
    const int64_t sizes[] = {$size_names};
    void* const operands[] = {$operands};
    return ${name}_call_device(model, sizes, operands);
}
