// TF32 (tensor cores with 10 bits of mantissa) is an option of the process: the environment
// variable CAFFE_TF32=1. It changes numbers, so it is off unless asked for.
#ifndef CAFFE_PROJECT_MATH_MODE_HPP_
#define CAFFE_PROJECT_MATH_MODE_HPP_

#include <cublas_v2.h>

#include <cstdlib>
#include <cstring>

namespace caffe {
namespace project {

inline bool tf32_wanted() {
  const char* value = std::getenv("CAFFE_TF32");
  return value != NULL && std::strcmp(value, "1") == 0;
}

inline cublasStatus_t set_math_mode(cublasHandle_t handle) {
  return cublasSetMathMode(handle, tf32_wanted() ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH);
}

}  // namespace project
}  // namespace caffe

#endif  // CAFFE_PROJECT_MATH_MODE_HPP_
