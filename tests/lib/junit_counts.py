#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints "passed failed skipped" of a JUnit file that ctest wrote."""
import sys
import xml.etree.ElementTree as tree


def main(path):
    passed = failed = skipped = 0
    for case in tree.parse(path).getroot().iter("testcase"):
        if case.get("status") == "run" and case.find("failure") is None:
            passed += 1
        elif case.find("skipped") is not None and case.get("status") != "fail":
            skipped += 1
        else:
            failed += 1
    print(passed, failed, skipped)


main(sys.argv[1])
