#pragma once
// Whether this translation unit is instrumented; g++ and clang say so in different words.

#if defined(__has_feature)
#define MT_HAS_FEATURE(feature) __has_feature(feature)
#else
#define MT_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || MT_HAS_FEATURE(address_sanitizer)
#define MT_ADDRESS_SANITIZER 1
#else
#define MT_ADDRESS_SANITIZER 0
#endif
#if defined(__SANITIZE_THREAD__) || MT_HAS_FEATURE(thread_sanitizer)
#define MT_THREAD_SANITIZER 1
#else
#define MT_THREAD_SANITIZER 0
#endif

namespace mt {

inline constexpr bool kAddressSanitizer = MT_ADDRESS_SANITIZER != 0;
inline constexpr bool kThreadSanitizer = MT_THREAD_SANITIZER != 0;
inline constexpr bool kSanitized = kAddressSanitizer || kThreadSanitizer;

}  // namespace mt
