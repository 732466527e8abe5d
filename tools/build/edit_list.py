"""The project's changes to Caffe 1.0.0+git20180821, for compilers and libraries of today."""
import os

from tools.build.edits import Addition, Edit

HERE = os.path.dirname(os.path.abspath(__file__))
CUDA = ("cuda", "cudnn")
CUDNN = ("cudnn",)
UNTOUCHED = ("in CPU mode nothing of CUDA is called: no driver is needed, child processes may "
             "still choose a GPU, and "
             "no memory of device 0 is taken by a process that computes elsewhere")
IN_CPU_MODE = "cuDNN's layers need a device from their set-up on: a net that is made in CPU mode has Caffe's own"
OWN_IN_CPU_MODE = ("  if (conv_param.engine() == ConvolutionParameter_Engine_DEFAULT && "
                   "Caffe::mode() == Caffe::CPU) {\n"
                   "    conv_param.set_engine(ConvolutionParameter_Engine_CAFFE);\n  }\n")

ADDITIONS = (
    Addition("math mode", os.path.join(HERE, "project_math_mode.hpp"),
             "include/caffe/util/project_math_mode.hpp",
             "TF32 as an option of the process, off unless asked for", CUDA),
    Addition("cuDNN 9", os.path.join(HERE,
                                     "project_cudnn9.hpp"), "include/caffe/util/project_cudnn9.hpp",
             "stand-ins for the three calls that cuDNN 8 removed", CUDNN),
)

EDITS = (
    Edit("protobuf limit", "src/caffe/util/io.cpp",
         "SetTotalBytesLimit(kProtoReadBytesLimit, 536870912)",
         "SetTotalBytesLimit(kProtoReadBytesLimit)",
         "protobuf 3.21 takes the limit alone, without a warning threshold", None),
    Edit(
        "optional image packages", "python/caffe/io.py",
        "import skimage.io\nfrom scipy.ndimage import zoom\nfrom skimage.transform import resize\n",
        "try:\n    import skimage.io\n    from scipy.ndimage import zoom\n    from "
        "skimage.transform import resize\n"
        "except ImportError:  # only load_image and resize_image need them\n    skimage = zoom = "
        "resize = None\n",
        "scikit-image and scipy are needed by two helpers only: importing caffe should not need "
        "them", None),
    Edit("clock rate", "src/caffe/common.cpp",
         '  LOG(INFO) << "Clock rate:                    " << prop.clockRate;\n', "",
         "CUDA 13 removed cudaDeviceProp::clockRate", CUDA),
    Edit(
        "device overlap", "src/caffe/common.cpp",
        '  LOG(INFO) << "Concurrent copy and execution: "\n      << (prop.deviceOverlap ? "Yes" : '
        '"No");\n', "", "CUDA 13 removed cudaDeviceProp::deviceOverlap", CUDA),
    Edit(
        "kernel timeout", "src/caffe/common.cpp",
        '  LOG(INFO) << "Kernel execution timeout:      "\n      << '
        '(prop.kernelExecTimeoutEnabled ? "Yes" : "No");\n', "",
        "CUDA 13 removed cudaDeviceProp::kernelExecTimeoutEnabled", CUDA),
    Edit(
        "no handles in CPU mode", "src/caffe/common.cpp",
        "    solver_count_(1), solver_rank_(0), multiprocess_(false) {\n  // Try to create a "
        "cublas handler", "    solver_count_(1), solver_rank_(0), multiprocess_(false) { }\n\n"
        "void Caffe::MakeHandles() {\n  if (cublas_handle_) { return; }\n  // Try to create a "
        "cublas handler", UNTOUCHED, CUDA),
    Edit(
        "handles in GPU mode", "include/caffe/common.hpp",
        "  inline static void set_mode(Brew mode) { Get().mode_ = mode; }\n",
        "  inline static void set_mode(Brew mode) {\n#ifndef CPU_ONLY\n    if (mode == GPU) { "
        "Get().MakeHandles(); }\n#endif\n"
        "    Get().mode_ = mode;\n  }\n", UNTOUCHED, CUDA),
    Edit("declaration of the handles' maker", "include/caffe/common.hpp",
         "  curandGenerator_t curand_generator_;\n", "  curandGenerator_t curand_generator_;\n  "
         "void MakeHandles();\n", UNTOUCHED, CUDA),
    Edit("seed in CPU mode", "src/caffe/common.cpp", "    if (!g_curand_availability_logged) {\n",
         "    if (mode() == GPU && "
         "!g_curand_availability_logged) {\n",
         "without a generator of the GPU there is none to seed, which is no error in CPU mode",
         CUDA),
    Edit(
        "math mode header", "src/caffe/common.cpp", '#include "caffe/common.hpp"\n',
        '#include "caffe/common.hpp"\n#ifndef CPU_ONLY\n#include '
        '"caffe/util/project_math_mode.hpp"\n#endif\n', "TF32 option", CUDA),
    Edit(
        "math mode of the first handle", "src/caffe/common.cpp",
        '    LOG(ERROR) << "Cannot create Cublas handle. Cublas won\'t be available.";\n  }\n',
        '    LOG(ERROR) << "Cannot create Cublas handle. Cublas won\'t be available.";\n  } else '
        '{\n'
        '    CUBLAS_CHECK(project::set_math_mode(cublas_handle_));\n  }\n',
        "TF32 option, for matrix products on the device that is chosen first", CUDA),
    Edit(
        "math mode of later handles", "src/caffe/common.cpp",
        "  CUBLAS_CHECK(cublasCreate(&Get().cublas_handle_));\n",
        "  CUBLAS_CHECK(cublasCreate(&Get().cublas_handle_));\n"
        "  CUBLAS_CHECK(project::set_math_mode(Get().cublas_handle_));\n",
        "TF32 option, for matrix products on another device", CUDA),
    Edit("cuDNN version file", "cmake/Cuda.cmake",
         "file(READ ${CUDNN_INCLUDE}/cudnn.h CUDNN_VERSION_FILE_CONTENTS)",
         "file(READ ${CUDNN_INCLUDE}/cudnn_version.h CUDNN_VERSION_FILE_CONTENTS)",
         "since cuDNN 8 the version is in a header of its own", CUDNN),
    Edit("cuDNN stand-ins", "include/caffe/util/cudnn.hpp", "#include <cudnn.h>\n",
         '#include <cudnn.h>\n\n#include "caffe/util/project_cudnn9.hpp"\n',
         "the calls that choose an algorithm within a workspace limit are gone since cuDNN 8",
         CUDNN),
    Edit(
        "dilation argument", "include/caffe/util/cudnn.hpp",
        "    int pad_h, int pad_w, int stride_h, int stride_w) {\n#if CUDNN_VERSION_MIN(6, 0, 0)\n",
        "    int pad_h, int pad_w, int stride_h, int stride_w,\n    int dilation_h = 1, int "
        "dilation_w = 1) {\n"
        "  CUDNN_CHECK(project::set_math_mode(*conv));\n#if CUDNN_VERSION_MIN(6, 0, 0)\n",
        "dilated convolutions, and no TF32 unless asked for: cuDNN's default allows it", CUDNN),
    Edit("dilation value", "include/caffe/util/cudnn.hpp",
         "pad_h, pad_w, stride_h, stride_w, 1, 1, CUDNN_CROSS_CORRELATION,\n",
         "pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w, CUDNN_CROSS_CORRELATION,\n",
         "dilated convolutions", CUDNN),
    Edit(
        "dilation of the layer", "src/caffe/layers/cudnn_conv_layer.cpp",
        "        filter_desc_, pad_h, pad_w,\n        stride_h, stride_w);\n",
        "        filter_desc_, pad_h, pad_w,\n        stride_h, stride_w,\n"
        "        this->dilation_.cpu_data()[0], this->dilation_.cpu_data()[1]);\n",
        "dilated convolutions", CUDNN),
    Edit(
        "dilation is allowed", "src/caffe/layer_factory.cpp",
        "    const LayerParameter& param) {\n  ConvolutionParameter conv_param = "
        "param.convolution_param();\n",
        "    const LayerParameter& param) {\n  ConvolutionParameter conv_param = "
        "param.convolution_param();\n"
        "#ifdef USE_CUDNN\n  // only this copy, which the choice below looks at: cuDNN takes "
        "dilated convolutions\n"
        "  conv_param.clear_dilation();\n" + OWN_IN_CPU_MODE + "#endif\n",
        "dilated convolutions; " + IN_CPU_MODE, CUDNN),
    Edit(
        "deconvolution in CPU mode", "src/caffe/layer_factory.cpp",
        "GetDeconvolutionLayer(const LayerParameter& param) {\n  ConvolutionParameter conv_param "
        "= param.convolution_param();\n",
        "GetDeconvolutionLayer(const LayerParameter& param) {\n  ConvolutionParameter conv_param "
        "= param.convolution_param();\n"
        "#ifdef USE_CUDNN\n" + OWN_IN_CPU_MODE + "#endif\n", IN_CPU_MODE, CUDNN),
    Edit("softmax include", "src/caffe/layers/cudnn_softmax_layer.cpp",
         '#include "thrust/device_vector.h"\n\n', "",
         "not used, and thrust of CUDA 13 is for nvcc only", CUDNN),
) + tuple(
    Edit(
        f"{kind} in CPU mode", "src/caffe/layer_factory.cpp",
        f"    engine = {kind}Parameter_Engine_CUDNN;\n",
        f"    engine = Caffe::mode() == Caffe::GPU ? {kind}Parameter_Engine_CUDNN : "
        f"{kind}Parameter_Engine_CAFFE;\n", IN_CPU_MODE, CUDNN)
    for kind in ("Pooling", "LRN", "ReLU", "Sigmoid", "Softmax", "TanH"))
