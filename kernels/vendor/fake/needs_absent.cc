// A module that cannot be loaded: what it needs is in a library that is not there.
extern "C" int microtome_absent();

extern "C" __attribute__((visibility("default"))) int microtome_needs_absent() {
  return microtome_absent();
}
