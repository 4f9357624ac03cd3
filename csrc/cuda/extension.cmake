# ndarray_backend_cuda: csrc/bind compiled for a device, with the kernels of csrc/cuda.
set(device_bindings ${bindings})
foreach(name bind_course bind_elements bind_images bind_program bind_route memory program program_bytes program_elements program_grouped
             program_kernels select threads)
  list(REMOVE_ITEM device_bindings ${CMAKE_SOURCE_DIR}/csrc/bind/${name}.cpp)
endforeach()
file(GLOB device_kernels CONFIGURE_DEPENDS csrc/cuda/*.cu)

pybind11_add_module(ndarray_backend_cuda NO_EXTRAS ${device_bindings} csrc/cuda/device.cpp csrc/cuda/bind_elements.cpp csrc/cuda/bind_dlpack.cpp)
set_target_properties(ndarray_backend_cuda PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 9)
target_compile_options(ndarray_backend_cuda PRIVATE -O1 -Wall -Wextra)
target_compile_definitions(ndarray_backend_cuda PRIVATE NDEBUG ND_DEVICE=cuda)

add_library(device_kernels OBJECT ${device_kernels})
set_target_properties(device_kernels PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_compile_definitions(device_kernels PRIVATE ND_ISA=cuda ND_DEVICE=cuda)
target_link_libraries(ndarray_backend_cuda PRIVATE device_kernels)
if(NEEDLE_CUDA STREQUAL "emulate")
  set_source_files_properties(${device_kernels} PROPERTIES LANGUAGE CXX)
  target_compile_options(device_kernels PRIVATE -O1 -Wall -Wextra -Wno-unknown-pragmas -march=native -ffp-contract=off -fno-math-errno
                         -fvisibility=hidden ${NEEDLE_SIMT_FLAGS} -x c++ -include ${CMAKE_SOURCE_DIR}/tests/cuda/simt.h)
else()
  set(NEEDLE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90-real 100-real 120 CACHE STRING "architectures, the last with PTX")
  enable_language(CUDA)
  set_target_properties(device_kernels PROPERTIES CUDA_STANDARD 17 CUDA_ARCHITECTURES "${NEEDLE_CUDA_ARCHITECTURES}")
  target_compile_options(device_kernels PRIVATE -fmad=false --expt-relaxed-constexpr -Werror=all-warnings
                         -Xcompiler=-Wall,-Wextra,-fvisibility=hidden)
  find_package(CUDAToolkit REQUIRED)
  target_link_libraries(ndarray_backend_cuda PRIVATE CUDA::cudart_static)
endif()
install(TARGETS ndarray_backend_cuda DESTINATION needle/backend_ndarray)
