#ifndef GPTVQ_CORE_BACKEND_HOST_DEVICE_H_
#define GPTVQ_CORE_BACKEND_HOST_DEVICE_H_

// GPTVQ_HD marks the scalar formulas that the host and the device compile from one source. The only header of the
// project that asks which compiler reads it.
#if defined(__CUDACC__)
#define GPTVQ_HD __host__ __device__
#else
#define GPTVQ_HD
#endif

#endif  // GPTVQ_CORE_BACKEND_HOST_DEVICE_H_
