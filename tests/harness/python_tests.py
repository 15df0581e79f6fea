"""Runs unittest cases as tests/run_tests.py runs a GoogleTest program: takes --gtest_output=json:FILE, passes by its other flags, and writes the same
JSON."""
import json
import sys
import time
import unittest


class Recorder(unittest.TextTestResult):
    """Every test with its outcome and its seconds, in GoogleTest's words."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.entries, self.began = [], 0.0

    def startTest(self, test):  # noqa: N802: unittest's names
        super().startTest(test)
        self.began = time.monotonic()
        self.entries.append({"name": test._testMethodName, "classname": type(test).__name__, "result": "COMPLETED"})

    def stopTest(self, test):  # noqa: N802
        self.entries[-1]["time"] = f"{time.monotonic() - self.began:.3f}s"
        super().stopTest(test)

    def _fail(self, test, error):
        self.entries[-1]["failures"] = [{"failure": self._exc_info_to_string(error, test)}]

    def addFailure(self, test, err):  # noqa: N802
        super().addFailure(test, err)
        self._fail(test, err)

    def addError(self, test, err):  # noqa: N802
        super().addError(test, err)
        self._fail(test, err)

    def addSubTest(self, test, subtest, err):  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._fail(test, err)

    def addSkip(self, test, reason):  # noqa: N802
        super().addSkip(test, reason)
        self.entries[-1]["result"] = "SKIPPED"
        print(f"{__file__}: Skipped\n{reason}\n[  SKIPPED ] {type(test).__name__}.{test._testMethodName} (0 ms)")


def main(module):
    report = next((word.split("json:", 1)[1] for word in sys.argv[1:] if word.startswith("--gtest_output=json:")), None)
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(resultclass=Recorder, verbosity=2, stream=sys.stdout).run(suite)
    if report:
        names = list(dict.fromkeys(entry["classname"] for entry in result.entries))
        with open(report, "w", encoding="utf-8") as file:
            json.dump({"testsuites": [{"name": name, "testsuite": [entry for entry in result.entries if entry["classname"] == name]}
                                      for name in names]}, file)
    return 0 if result.wasSuccessful() else 1
