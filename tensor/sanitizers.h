#pragma once
// Whether this translation unit is instrumented; g++ and clang say so in different words.

#if defined(__SANITIZE_ADDRESS__)
#define MT_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MT_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef MT_ADDRESS_SANITIZER
#define MT_ADDRESS_SANITIZER 0
#endif

namespace mt {

inline constexpr bool kAddressSanitizer = MT_ADDRESS_SANITIZER != 0;

}  // namespace mt
