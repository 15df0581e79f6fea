#include "kernels/simt/fiber.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace mt::simt_machine {
namespace {

// Fibers get no argument: what they share lives here.
Fiber* host = nullptr;
Fiber* first = nullptr;
Fiber* second = nullptr;
std::string trace;

void say(const char* word) {
  trace += word;
}

class FiberTest : public ::testing::Test {
 protected:
  FiberTest() : first_(std::size_t{1} << 18), second_(std::size_t{1} << 18) {
    host = &host_;
    first = &first_;
    second = &second_;
    trace.clear();
  }

 private:
  Fiber host_;
  Fiber first_;
  Fiber second_;
};

TEST_F(FiberTest, GoOnWhereTheyLeftOff) {
  first->start_at([] {
    say("a");
    Fiber::switch_to(*first, *second);
    say("c");
    Fiber::switch_to(*first, *host);
    say("e");
    Fiber::switch_to(*first, *host, true);
  });
  second->start_at([] {
    say("b");
    Fiber::switch_to(*second, *first, true);
  });
  Fiber::switch_to(*host, *first);
  say("d");
  Fiber::switch_to(*host, *first);
  EXPECT_EQ(trace, "abcde");
}

TEST_F(FiberTest, KeepTheirLocalsAndFloatingPointRegisters) {
  static double results[2];
  const auto body = [](int which, Fiber* self) {
    volatile double seed = which + 1;
    double values[8];
    for (int i = 0; i < 8; ++i) values[i] = seed * (i + 1);
    Fiber::switch_to(*self, *host);
    double sum = 0;
    for (const double value : values) sum += value;
    results[which] = sum;
    Fiber::switch_to(*self, *host, true);
  };
  static const auto shared_body = body;
  first->start_at([] { shared_body(0, first); });
  second->start_at([] { shared_body(1, second); });
  for (int round = 0; round < 2; ++round) {
    Fiber::switch_to(*host, *first);
    Fiber::switch_to(*host, *second);
  }
  EXPECT_EQ(results[0], 36);  // 1 + … + 8
  EXPECT_EQ(results[1], 72);
}

TEST_F(FiberTest, ThrowAndCatchInside) {
  first->start_at([] {
    try {
      Fiber::switch_to(*first, *host);
      throw std::runtime_error("thrown");
    } catch (const std::exception& error) {
      say(error.what());
    }
    Fiber::switch_to(*first, *host, true);
  });
  Fiber::switch_to(*host, *first);
  Fiber::switch_to(*host, *first);
  EXPECT_EQ(trace, "thrown");
}

TEST_F(FiberTest, StartAnewAfterTheyWereAbandoned) {
  for (int i = 0; i < 3; ++i) {
    first->start_at([] {
      char frame[256];  // its red zones stay behind under ASan
      frame[0] = 'x';
      trace += frame[0];
      Fiber::switch_to(*first, *host);
      say(frame);
    });
    Fiber::switch_to(*host, *first);
  }
  EXPECT_EQ(trace, "xxx");
}

}  // namespace
}  // namespace mt::simt_machine
