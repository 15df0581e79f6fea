// A library that is taken away before its module is loaded; as a module, one without our entry.
extern "C" __attribute__((visibility("default"))) int microtome_absent() {
  return 1;
}
