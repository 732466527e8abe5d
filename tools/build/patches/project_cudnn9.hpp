// What Caffe 1.0 calls and cuDNN 8 removed: the choice of a convolution algorithm within a
// limit of workspace. cuDNN's heuristics list the algorithms, best first; the first one that
// works, fits the limit and gives the same bits every time is taken, else the first that fits.
#ifndef CAFFE_PROJECT_CUDNN9_HPP_
#define CAFFE_PROJECT_CUDNN9_HPP_

#include <cudnn.h>

#include "caffe/util/project_math_mode.hpp"

// the preference arguments of the old calls; their callers always give a limit
enum { CUDNN_CONVOLUTION_FWD_SPECIFY_WORKSPACE_LIMIT,
       CUDNN_CONVOLUTION_BWD_FILTER_SPECIFY_WORKSPACE_LIMIT,
       CUDNN_CONVOLUTION_BWD_DATA_SPECIFY_WORKSPACE_LIMIT };

namespace caffe {
namespace project {

const int kMaxAlgorithms = 16;

// cuDNN's default math may use TF32; FMA is plain float32
inline cudnnStatus_t set_math_mode(cudnnConvolutionDescriptor_t convolution) {
  return cudnnSetConvolutionMathType(convolution, tf32_wanted() ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH);
}

template <typename Result, typename Algorithm>
cudnnStatus_t first_that_fits(const Result* results, int count, size_t limit, Algorithm* algorithm) {
  const bool tf32 = tf32_wanted();
  cudnnStatus_t found = CUDNN_STATUS_NOT_SUPPORTED;
  for (int i = 0; i < count; ++i) {
    const bool plain = results[i].mathType == CUDNN_FMA_MATH || results[i].mathType == CUDNN_DEFAULT_MATH;
    const bool repeatable = results[i].determinism == CUDNN_DETERMINISTIC;
    if (results[i].status != CUDNN_STATUS_SUCCESS || results[i].memory > limit || !(tf32 || plain)) continue;
    if (repeatable || found != CUDNN_STATUS_SUCCESS) *algorithm = results[i].algo;
    found = CUDNN_STATUS_SUCCESS;
    if (repeatable) break;
  }
  return found;
}

}  // namespace project
}  // namespace caffe

inline cudnnStatus_t cudnnGetConvolutionForwardAlgorithm(
    cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y,
    int /* preference */, size_t limit, cudnnConvolutionFwdAlgo_t* algorithm) {
  cudnnConvolutionFwdAlgoPerf_t results[caffe::project::kMaxAlgorithms];
  int count = 0;
  const cudnnStatus_t status = cudnnGetConvolutionForwardAlgorithm_v7(
      handle, x, w, convolution, y, caffe::project::kMaxAlgorithms, &count, results);
  return status != CUDNN_STATUS_SUCCESS ? status
      : caffe::project::first_that_fits(results, count, limit, algorithm);
}

inline cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm(
    cudnnHandle_t handle, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t convolution, cudnnFilterDescriptor_t dw,
    int /* preference */, size_t limit, cudnnConvolutionBwdFilterAlgo_t* algorithm) {
  cudnnConvolutionBwdFilterAlgoPerf_t results[caffe::project::kMaxAlgorithms];
  int count = 0;
  const cudnnStatus_t status = cudnnGetConvolutionBackwardFilterAlgorithm_v7(
      handle, x, dy, convolution, dw, caffe::project::kMaxAlgorithms, &count, results);
  return status != CUDNN_STATUS_SUCCESS ? status
      : caffe::project::first_that_fits(results, count, limit, algorithm);
}

inline cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm(
    cudnnHandle_t handle, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t dx,
    int /* preference */, size_t limit, cudnnConvolutionBwdDataAlgo_t* algorithm) {
  cudnnConvolutionBwdDataAlgoPerf_t results[caffe::project::kMaxAlgorithms];
  int count = 0;
  const cudnnStatus_t status = cudnnGetConvolutionBackwardDataAlgorithm_v7(
      handle, w, dy, convolution, dx, caffe::project::kMaxAlgorithms, &count, results);
  return status != CUDNN_STATUS_SUCCESS ? status
      : caffe::project::first_that_fits(results, count, limit, algorithm);
}

#endif  // CAFFE_PROJECT_CUDNN9_HPP_
